//! The walls between sandboxes and this machine, as rules of iptables.
//!
//! For: rendering them, telling from a listing whether they stand, and the one transaction that puts
//! them up or takes them away. Pure.
//! Not for: running iptables; see [`super::tool`].
//!
//! A node has two chains. `THON-IN-…` decides what a sandbox reaches on the machine itself, and
//! `THON-FWD-…` what it reaches through the machine. Packets that answer a connection from outside,
//! as those of an editor do, pass both.

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;

use thon_core::endpoint::Port;

/// The addresses by which clouds hand out their secrets to a machine, among others.
const LINK_LOCAL: &str = "169.254.0.0/16";
/// Docker leads everything that it forwards through this chain first, and leaves its rules alone.
const USER: &str = "DOCKER-USER";
/// What the names of all our chains begin with, of every node.
const PREFIX: &str = "THON-";
/// Packets of a connection that began on the other side.
const ANSWERS: &str = "-m conntrack --ctstate RELATED,ESTABLISHED --ctdir REPLY";

/// Everything that the rules depend on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rules {
    /// The interface of the bridge from which the outside can be reached.
    pub(crate) online: String,
    /// The interface of the bridge from which it can't.
    pub(crate) offline: String,
    /// Ports of this machine that every sandbox reaches.
    pub(crate) services: Vec<Port>,
    /// Ports of this machine that everyone on its network reaches, sandboxes that are online too.
    pub(crate) public: Vec<RangeInclusive<Port>>,
    /// Whom Docker asks for names on behalf of a sandbox. They may be on this machine, or at a
    /// link-local address as in some clouds.
    pub(crate) nameservers: Vec<Ipv4Addr>,
}

impl Rules {
    fn input(&self) -> String {
        format!("{PREFIX}IN-{}", self.online)
    }

    fn forward(&self) -> String {
        format!("{PREFIX}FWD-{}", self.online)
    }

    /// The jumps to our chains: from which chain, and the rule.
    fn jumps(&self) -> [(&'static str, String); 4] {
        let jump = |interface: &str, chain: String| format!("-i {interface} -j {chain}");
        [
            ("INPUT", jump(&self.online, self.input())),
            ("INPUT", jump(&self.offline, self.input())),
            (USER, jump(&self.online, self.forward())),
            (USER, jump(&self.offline, self.forward())),
        ]
    }

    /// What the two chains hold.
    fn body(&self) -> Vec<String> {
        let (input, forward) = (self.input(), self.forward());
        let (online, offline) = (&self.online, &self.offline);
        let mut rules = vec![format!("-A {input} {ANSWERS} -j ACCEPT")];
        for port in &self.services {
            rules.push(format!("-A {input} -p tcp -m tcp --dport {port} -j ACCEPT"));
        }
        for ports in &self.public {
            let (first, last) = (ports.start(), ports.end());
            let ports =
                if first == last { first.to_string() } else { format!("{first}:{last}") };
            rules.push(format!("-A {input} -i {online} -p tcp -m tcp --dport {ports} -j ACCEPT"));
        }
        let names = |chain: &str, then: &str| {
            let rule = move |server: &Ipv4Addr, protocol: &str| {
                format!(
                    "-A {chain} -i {online} -d {server}/32 -p {protocol} -m {protocol} --dport 53 \
                     -j {then}"
                )
            };
            self.nameservers.iter().flat_map(|s| [rule(s, "udp"), rule(s, "tcp")]).collect::<Vec<_>>()
        };
        rules.extend(names(&input, "ACCEPT"));
        // A connection that is refused ends at once; one that is swallowed waits for minutes.
        rules.push(format!("-A {input} -p tcp -j REJECT --reject-with tcp-reset"));
        rules.push(format!("-A {input} -j REJECT --reject-with icmp-port-unreachable"));
        let no_way = "-j REJECT --reject-with icmp-admin-prohibited";
        rules.push(format!("-A {forward} {ANSWERS} -j RETURN"));
        rules.push(format!("-A {forward} -i {offline} {no_way}"));
        rules.extend(names(&forward, "RETURN"));
        rules.push(format!("-A {forward} -d {LINK_LOCAL} {no_way}"));
        rules
    }

    /// The rule that changes nothing and tells which rules the chains hold.
    fn mark(&self) -> String {
        let digest = crate::network::digest(&self.body().join("\n"));
        format!("-A {} -m comment --comment {PREFIX}{digest:016x}", self.input())
    }

    /// Whether these rules are in force, by what `iptables -S` lists; else what is amiss.
    pub(crate) fn judge(&self, listing: &str) -> Result<(), &'static str> {
        if !listing.lines().any(|line| line.replace('"', "") == self.mark()) {
            let known = format!("-N {}", self.input());
            return Err(if listing.lines().any(|line| line == known) {
                "the rules are other ones than wanted"
            } else {
                "there are no rules"
            });
        }
        for (chain, jump) in self.jumps() {
            // Nodes stand side by side at the beginning; whatever stands before them could let
            // packets through.
            let start = format!("-A {chain} ");
            let first = listing
                .lines()
                .filter_map(|line| line.strip_prefix(&start))
                .take_while(|rule| rule.contains(&format!("-j {PREFIX}")));
            if !first.into_iter().any(|rule| rule == jump) {
                return Err("packets do not pass the rules first");
            }
        }
        if first_of(listing, "FORWARD") != Some("-j DOCKER-USER") {
            return Err("forwarded packets do not pass Docker's chain for users first");
        }
        Ok(())
    }

    /// What makes of the rules in `listing` those that are wanted, for `iptables-restore --noflush`:
    /// all of it or nothing.
    pub(crate) fn transaction(&self, listing: &str) -> String {
        let mut lines = vec!["*filter".to_owned()];
        // Naming a chain makes it, or empties it.
        lines.push(format!(":{} - [0:0]", self.input()));
        lines.push(format!(":{} - [0:0]", self.forward()));
        if !has_chain(listing, USER) {
            lines.push(format!(":{USER} - [0:0]"));
        }
        lines.push(self.mark());
        lines.extend(self.body());
        lines.extend(self.deletions(listing));
        for (chain, jump) in self.jumps() {
            lines.push(format!("-I {chain} 1 {jump}"));
        }
        if first_of(listing, "FORWARD") != Some("-j DOCKER-USER") {
            lines.push(format!("-I FORWARD 1 -j {USER}"));
        }
        lines.push("COMMIT".to_owned());
        text(&lines)
    }

    /// What takes everything of ours away; nothing where nothing is there.
    pub(crate) fn removal(&self, listing: &str) -> Option<String> {
        let mut lines = vec!["*filter".to_owned()];
        lines.extend(self.deletions(listing));
        for chain in [self.input(), self.forward()] {
            if has_chain(listing, &chain) {
                lines.push(format!("-F {chain}"));
                lines.push(format!("-X {chain}"));
            }
        }
        lines.push("COMMIT".to_owned());
        (lines.len() > 2).then(|| text(&lines))
    }

    /// Takes the jumps away that are there, however many.
    fn deletions(&self, listing: &str) -> Vec<String> {
        let targets = [format!(" -j {}", self.input()), format!(" -j {}", self.forward())];
        listing
            .lines()
            .filter(|line| targets.iter().any(|target| line.ends_with(target)))
            .filter_map(|line| Some(format!("-D {}", line.strip_prefix("-A ")?)))
            .collect()
    }

    /// The unit of systemd that puts the walls up at boot, before Docker starts the sandboxes again.
    /// It needs nothing but iptables: not THON, nor its configuration.
    pub(crate) fn unit(&self, node: &str) -> String {
        let mut unit = format!(
            "# Written by THON, which replaces and removes it: `thon run`, `thon down`.\n\
             [Unit]\n\
             Description=Walls between this machine and the sandboxes of the THON node {node}\n\
             Before=docker.service\n\
             After=netfilter-persistent.service nftables.service firewalld.service ufw.service\n\
             \n\
             [Service]\n\
             Type=oneshot\n\
             RemainAfterExit=yes\n"
        );
        // A line that fails because there is nothing to remove, or because it is there, is fine.
        let mut quietly = |arguments: &str| {
            let _ = writeln!(unit, "ExecStart=-/usr/sbin/iptables -w 10 {arguments}");
        };
        quietly(&format!("-N {USER}"));
        for (chain, jump) in self.jumps() {
            quietly(&format!("-D {chain} {jump}"));
        }
        unit.push_str("ExecStart=/usr/sbin/iptables-restore -w 10 --noflush\nStandardInput=data\n");
        let nothing_else = format!("-N {USER}\n-A FORWARD -j {USER}\n");
        for line in self.transaction(&nothing_else).lines() {
            let _ = writeln!(unit, "StandardInputText={line}");
        }
        unit.push_str("\n[Install]\nWantedBy=multi-user.target docker.service\n");
        unit
    }
}

fn has_chain(listing: &str, chain: &str) -> bool {
    listing.lines().any(|line| line.strip_prefix("-N ") == Some(chain))
}

fn first_of<'l>(listing: &'l str, chain: &str) -> Option<&'l str> {
    let start = format!("-A {chain} ");
    listing.lines().find_map(|line| line.strip_prefix(&start))
}

fn text(lines: &[String]) -> String {
    lines.iter().fold(String::new(), |text, line| text + line + "\n")
}

/// The nameservers in the text of a `resolv.conf` that aren't on the loopback; those Docker asks
/// itself.
pub(crate) fn nameservers(text: &str) -> Vec<Ipv4Addr> {
    let mut found: Vec<Ipv4Addr> = text
        .lines()
        .filter_map(|line| line.split_whitespace().collect::<Vec<_>>().try_into().ok())
        .filter_map(|[key, address]: [&str; 2]| {
            (key == "nameserver").then(|| address.parse().ok()).flatten()
        })
        .filter(|address: &Ipv4Addr| !address.is_loopback())
        .collect();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(number: u32) -> Port {
        Port::new(number).unwrap()
    }

    fn rules() -> Rules {
        Rules {
            online: "thon0".to_owned(),
            offline: "thon1".to_owned(),
            services: vec![port(9080)],
            public: vec![port(443)..=port(443), port(30_000)..=port(30_007)],
            nameservers: vec![Ipv4Addr::new(169, 254, 169, 254)],
        }
    }

    const DOCKER: &str = "-N DOCKER-USER\n-A FORWARD -j DOCKER-USER\n-A DOCKER-USER -j RETURN\n";

    /// What iptables would list after a transaction on `DOCKER`.
    fn listed(rules: &Rules) -> String {
        let mut listing = String::from("-N DOCKER-USER\n-A FORWARD -j DOCKER-USER\n");
        for line in rules.transaction(DOCKER).lines() {
            if let Some(chain) = line.strip_prefix(':') {
                let _ = writeln!(listing, "-N {}", chain.split(' ').next().unwrap());
            } else if line.starts_with("-A") {
                let _ = writeln!(listing, "{line}");
            } else if let Some(rest) = line.strip_prefix("-I ") {
                let _ = writeln!(listing, "-A {}", rest.replacen(" 1 ", " ", 1));
            }
        }
        listing + "-A DOCKER-USER -j RETURN\n"
    }

    #[test]
    fn the_transaction_reads_as_written() {
        insta::assert_snapshot!("transaction", rules().transaction(DOCKER));
    }

    #[test]
    fn the_unit_reads_as_written() {
        insta::assert_snapshot!("unit", rules().unit("thon"));
    }

    #[test]
    fn without_docker_its_chain_for_users_is_made_and_used() {
        let transaction = rules().transaction("-P INPUT ACCEPT\n");
        assert!(transaction.contains("\n:DOCKER-USER - [0:0]\n"), "{transaction}");
        assert!(transaction.contains("\n-I FORWARD 1 -j DOCKER-USER\n"), "{transaction}");
    }

    #[test]
    fn what_stands_is_known_and_what_does_not_is_named() {
        let standing = listed(&rules());
        assert_eq!(rules().judge(&standing), Ok(()));
        assert!(rules().judge(DOCKER).unwrap_err().contains("no rules"));
        let more = Rules { services: vec![port(9080), port(9081)], ..rules() };
        assert!(more.judge(&standing).unwrap_err().contains("other ones"));
        let late = standing.replacen("-A INPUT ", "-A INPUT -j ACCEPT\n-A INPUT ", 1);
        assert!(rules().judge(&late).unwrap_err().contains("first"));
        let neighbour = "-A INPUT -i thon-aa -j THON-IN-thon-aa\n-A INPUT ";
        let beside = standing.replacen("-A INPUT ", neighbour, 1);
        assert_eq!(rules().judge(&beside), Ok(()));
        let unused = standing.replace("-A FORWARD -j DOCKER-USER\n", "");
        assert!(rules().judge(&unused).unwrap_err().contains("forwarded"));
    }

    #[test]
    fn a_second_transaction_and_a_removal_take_every_jump_away_first() {
        let standing = listed(&rules()) + "-A INPUT -i thon0 -j THON-IN-thon0\n";
        let again = rules().transaction(&standing);
        assert_eq!(again.matches("\n-D INPUT -i thon0 ").count(), 2, "{again}");
        let removal = rules().removal(&standing).unwrap();
        assert_eq!(removal.matches("\n-D ").count(), 5, "{removal}");
        assert!(removal.contains("-X THON-IN-thon0\n-F THON-FWD-thon0\n"), "{removal}");
        assert_eq!(rules().removal(DOCKER), None);
    }

    #[test]
    fn chains_of_the_longest_interface_fit_iptables() {
        let rules = Rules { online: "thon-0123456789".to_owned(), ..rules() };
        assert!(rules.forward().len() <= 28 && rules.input().len() <= 28);
    }

    #[test]
    fn nameservers_elsewhere_are_found() {
        let text = "# nameserver 1.1.1.1\nsearch x\nnameserver 127.0.0.53\nnameserver 10.0.0.2\n\
                    nameserver fe80::1\nnameserver 10.0.0.3\n";
        assert_eq!(nameservers(text), [Ipv4Addr::new(10, 0, 0, 2), Ipv4Addr::new(10, 0, 0, 3)]);
    }
}
