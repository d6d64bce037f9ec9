//! The walls between sandboxes and this machine, as rules of iptables and ip6tables.
//!
//! For: rendering them, telling from a listing whether they stand, and the one transaction that puts
//! them up or takes them away. Pure.
//! Not for: running iptables; see [`super::tool`].
//!
//! A node has two chains. `THON-IN-…` decides what a sandbox reaches on the machine itself, and
//! `THON-FWD-…` what it reaches through the machine. Packets that answer a connection from outside,
//! as those of an editor do, pass both.

use std::net::Ipv4Addr;

use thon_core::endpoint::Port;

/// The addresses by which clouds hand out their secrets to a machine, among others.
const LINK_LOCAL: &str = "169.254.0.0/16";
/// Docker leads everything that it forwards through this chain first, and leaves its rules alone.
const USER: &str = "DOCKER-USER";
/// What the names of all our chains begin with, of every node.
const PREFIX: &str = "THON-";
/// Packets of a connection that began on the other side.
const ANSWERS: &str = "-m conntrack --ctstate RELATED,ESTABLISHED --ctdir REPLY";
/// Packets whose destination Docker has exchanged: they were sent to a port of this machine that a
/// container has published.
const PUBLISHED: &str = "-m conntrack --ctstate DNAT";

/// Which of the machine's two packet filters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    /// The node's networks have no IPv6. This is for what gets an address all the same.
    V6,
}

impl Family {
    /// The chain from which what is forwarded comes to ours. Older engines have no chain of their
    /// own for users of IPv6.
    const fn forwards_from(self) -> &'static str {
        match self {
            Self::V4 => USER,
            Self::V6 => "FORWARD",
        }
    }

    /// A connection that is refused ends at once; one that is swallowed waits for minutes.
    const fn no_port(self) -> &'static str {
        match self {
            Self::V4 => "-j REJECT --reject-with icmp-port-unreachable",
            Self::V6 => "-j REJECT --reject-with icmp6-port-unreachable",
        }
    }

    const fn no_way(self) -> &'static str {
        match self {
            Self::V4 => "-j REJECT --reject-with icmp-admin-prohibited",
            Self::V6 => "-j REJECT --reject-with icmp6-adm-prohibited",
        }
    }
}

/// Everything that the rules depend on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rules {
    pub(crate) family: Family,
    /// The interface of the bridge from which the outside can be reached.
    pub(crate) online: String,
    /// The interface of the bridge from which it can't.
    pub(crate) offline: String,
    /// Ports of this machine that every sandbox reaches.
    pub(crate) services: Vec<Port>,
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
    fn jumps(&self) -> [(&'static str, String); 6] {
        let from = self.family.forwards_from();
        let jump =
            |way: &str, interface: &str, chain: String| format!("{way} {interface} -j {chain}");
        [
            ("INPUT", jump("-i", &self.online, self.input())),
            ("INPUT", jump("-i", &self.offline, self.input())),
            (from, jump("-i", &self.online, self.forward())),
            (from, jump("-i", &self.offline, self.forward())),
            (from, jump("-o", &self.online, self.forward())),
            (from, jump("-o", &self.offline, self.forward())),
        ]
    }

    /// What the two chains hold.
    fn body(&self) -> Vec<String> {
        let mut rules = self.input_body();
        rules.extend(self.forward_body());
        rules
    }

    fn input_body(&self) -> Vec<String> {
        let chain = self.input();
        let mut rules = vec![format!("-A {chain} {ANSWERS} -j ACCEPT")];
        if self.family == Family::V6 {
            // Without these neither side learns where the other is, and no answer is sent.
            for kind in [135, 136] {
                rules.push(format!(
                    "-A {chain} -p ipv6-icmp -m icmp6 --icmpv6-type {kind} -j ACCEPT"
                ));
            }
        }
        for port in &self.services {
            rules.push(format!("-A {chain} -p tcp -m tcp --dport {port} -j ACCEPT"));
        }
        rules.extend(self.names(&chain, "ACCEPT"));
        rules.push(format!("-A {chain} -p tcp -j REJECT --reject-with tcp-reset"));
        rules.push(format!("-A {chain} {}", self.family.no_port()));
        rules
    }

    fn forward_body(&self) -> Vec<String> {
        let chain = self.forward();
        let (online, offline) = (&self.online, &self.offline);
        let mut rules = Vec::new();
        for ours in [online, offline] {
            rules.push(format!("-A {chain} -i {ours} {ANSWERS} -j RETURN"));
        }
        // A service may be a container that has published its port. Docker keeps its networks apart
        // before it looks at answers.
        for ours in [online, offline] {
            rules.push(format!("-A {chain} -o {ours} {ANSWERS} -j ACCEPT"));
        }
        for ours in [online, offline] {
            for port in &self.services {
                rules.push(format!(
                    "-A {chain} -i {ours} -p tcp {PUBLISHED} --ctorigdstport {port} -j ACCEPT"
                ));
            }
            rules.push(format!("-A {chain} -i {ours} {PUBLISHED} {}", self.family.no_way()));
        }
        rules.push(format!("-A {chain} -i {offline} {}", self.family.no_way()));
        rules.extend(self.names(&chain, "RETURN"));
        if self.family == Family::V4 {
            rules.push(format!("-A {chain} -d {LINK_LOCAL} -i {online} {}", self.family.no_way()));
        }
        rules
    }

    /// Lets those who are online ask for names.
    fn names(&self, chain: &str, then: &str) -> Vec<String> {
        if self.family == Family::V6 {
            return Vec::new();
        }
        let online = &self.online;
        let rule = |server: &Ipv4Addr, protocol: &str| {
            format!(
                "-A {chain} -d {server}/32 -i {online} -p {protocol} -m {protocol} --dport 53 -j {then}"
            )
        };
        self.nameservers.iter().flat_map(|s| [rule(s, "udp"), rule(s, "tcp")]).collect()
    }

    /// The rule that changes nothing and tells which rules the chains hold.
    fn mark(&self) -> String {
        let digest = crate::network::digest(&self.body().join("\n"));
        format!("-A {} -m comment --comment {PREFIX}{digest:016x}", self.input())
    }

    /// Whether these rules are in force, by what `iptables -S` lists; else what is amiss.
    pub(crate) fn judge(&self, listing: &str) -> Result<(), &'static str> {
        if !has_chain(listing, &self.input()) {
            return Err("there are no rules");
        }
        // The mark tells which rules were made, their number that none was taken away by hand.
        let same = listing.lines().any(|line| line.replace('"', "") == self.mark());
        let count = |chain: &str| rules_of(listing, chain).count();
        let whole = count(&self.input()) == self.input_body().len() + 1
            && count(&self.forward()) == self.forward_body().len();
        if !(same && whole) {
            return Err("the rules are other ones than wanted");
        }
        for (chain, jump) in self.jumps() {
            // Nodes stand side by side at the beginning; whatever stands before them could let
            // packets through.
            let mut first = rules_of(listing, chain).take_while(|rule| leads_to_us(rule));
            if !first.any(|rule| rule == jump) {
                return Err("packets do not pass the rules first");
            }
        }
        if self.family == Family::V4 && rules_of(listing, "FORWARD").next() != Some(TO_USER) {
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
        let docker = self.family == Family::V4;
        if docker && !has_chain(listing, USER) {
            lines.push(format!(":{USER} - [0:0]"));
        }
        lines.push(self.mark());
        lines.extend(self.body());
        lines.extend(self.deletions(listing));
        for (chain, jump) in self.jumps() {
            lines.push(format!("-I {chain} 1 {jump}"));
        }
        if docker && rules_of(listing, "FORWARD").next() != Some(TO_USER) {
            let there = rules_of(listing, "FORWARD").filter(|rule| *rule == TO_USER);
            lines.extend(there.map(|rule| format!("-D FORWARD {rule}")));
            lines.push(format!("-I FORWARD 1 {TO_USER}"));
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
}

/// The rule by which what is forwarded comes to Docker's chain for users.
const TO_USER: &str = "-j DOCKER-USER";

/// Whether a rule jumps to a chain of a node.
fn leads_to_us(rule: &str) -> bool {
    rule.contains(&format!("-j {PREFIX}"))
}

fn has_chain(listing: &str, chain: &str) -> bool {
    listing.lines().any(|line| line.strip_prefix("-N ") == Some(chain))
}

/// The rules of a chain, in their order.
fn rules_of<'l>(listing: &'l str, chain: &str) -> impl Iterator<Item = &'l str> {
    let start = format!("-A {chain} ");
    listing.lines().filter_map(move |line| line.strip_prefix(&start))
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
    use std::fmt::Write as _;

    use super::*;

    fn port(number: u32) -> Port {
        Port::new(number).unwrap()
    }

    fn rules() -> Rules {
        Rules {
            family: Family::V4,
            online: "thon0".to_owned(),
            offline: "thon1".to_owned(),
            services: vec![port(9080)],
            nameservers: vec![Ipv4Addr::new(169, 254, 169, 254)],
        }
    }

    fn rules6() -> Rules {
        Rules { family: Family::V6, ..rules() }
    }

    const DOCKER: &str = "-N DOCKER-USER\n-A FORWARD -j DOCKER-USER\n-A DOCKER-USER -j RETURN\n";

    /// What iptables would list after a transaction on `DOCKER`.
    fn listed(rules: &Rules) -> String {
        let docker = "-N DOCKER-USER\n-A FORWARD -j DOCKER-USER\n";
        let mut listing =
            if rules.family == Family::V4 { docker.to_owned() } else { String::new() };
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
    fn the_transactions_read_as_written() {
        insta::assert_snapshot!("transaction", rules().transaction(DOCKER));
        insta::assert_snapshot!("transaction6", rules6().transaction("-P INPUT ACCEPT\n"));
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
        assert_eq!(rules6().judge(&listed(&rules6())), Ok(()));
    }

    #[test]
    fn a_rule_that_was_taken_away_by_hand_is_missed() {
        let standing = listed(&rules());
        for gone in rules().body() {
            let holed = standing.replacen(&format!("{gone}\n"), "", 1);
            assert!(rules().judge(&holed).is_err(), "{gone}");
        }
    }

    #[test]
    fn a_second_transaction_and_a_removal_take_every_jump_away_first() {
        let standing = listed(&rules()) + "-A INPUT -i thon0 -j THON-IN-thon0\n";
        let again = rules().transaction(&standing);
        assert_eq!(again.matches("\n-D INPUT -i thon0 ").count(), 2, "{again}");
        let removal = rules().removal(&standing).unwrap();
        assert_eq!(removal.matches("\n-D ").count(), 7, "{removal}");
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
