//! Choosing a subnet that collides with nothing.
//!
//! For: pure arithmetic on IPv4 networks, and reading the kernel's table of routes.
//! Not for: asking Docker or making networks.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// The length of the prefix of the subnets that we choose: 4,094 addresses, enough for any event.
const PREFIX: u8 = 20;

/// In a subnet with fewer addresses than this nobody is given one of their own.
const FEWEST: u32 = 16;

/// An IPv4 network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Subnet {
    address: u32,
    prefix: u8,
}

impl Subnet {
    fn new(address: u32, prefix: u8) -> Self {
        Self { address: address & mask(prefix), prefix }
    }

    /// How many sandboxes find an address: all but the network's, the broadcast and the gateway's.
    pub(crate) fn capacity(self) -> usize {
        1_usize.checked_shl(32 - u32::from(self.prefix)).unwrap_or(usize::MAX).saturating_sub(3)
    }

    /// The address of that number, counted down from the last one and from there again where they
    /// end: Docker gives out those that nobody asked for from the first one up. Nothing in a subnet
    /// that is too small to keep both apart.
    pub(crate) fn last_but(self, number: u16) -> Option<Ipv4Addr> {
        let room = u32::try_from(self.capacity()).ok().filter(|room| *room >= FEWEST)?;
        let broadcast = self.address | !mask(self.prefix);
        Some(Ipv4Addr::from(broadcast - 1 - u32::from(number) % room))
    }

    /// True if an address is in both.
    pub(crate) fn overlaps(self, other: Self) -> bool {
        let shorter = mask(self.prefix.min(other.prefix));
        self.address & shorter == other.address & shorter
    }
}

fn mask(prefix: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0)
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", Ipv4Addr::from(self.address), self.prefix)
    }
}

impl FromStr for Subnet {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (address, prefix) = text.trim().split_once('/').ok_or(())?;
        let address: Ipv4Addr = address.parse().map_err(|_| ())?;
        let prefix: u8 = prefix.parse().map_err(|_| ())?;
        if prefix > 32 {
            return Err(());
        }
        Ok(Self::new(address.into(), prefix))
    }
}

/// The subnets to choose from, in this order: a corner of 10/8 that few networks use, then what
/// lies beyond Docker's own first choices in 172.16/12 and 192.168/16.
fn candidates() -> impl Iterator<Item = Subnet> {
    let slices = |first: [u8; 4], count: u32| {
        let first = u32::from(Ipv4Addr::from(first));
        (0..count).map(move |index| Subnet::new(first + (index << (32 - PREFIX)), PREFIX))
    };
    slices([10, 200, 0, 0], 256)
        .chain(slices([172, 28, 0, 0], 64))
        .chain(slices([192, 168, 128, 0], 8))
}

/// The candidates that overlap with none of `taken`.
pub(crate) fn free(taken: &[Subnet]) -> impl Iterator<Item = Subnet> {
    candidates().filter(|candidate| !taken.iter().any(|taken| candidate.overlaps(*taken)))
}

/// The networks in the text of `/proc/net/route`, each with its interface. The default route is none
/// of them: everything overlaps with it.
pub(crate) fn routes(table: &str) -> Vec<(&str, Subnet)> {
    let number = |field: &str| {
        // The kernel prints the bytes as they lie in memory, in network order.
        u32::from_str_radix(field, 16).ok().map(|raw| u32::from_be_bytes(raw.to_ne_bytes()))
    };
    table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let destination = number(fields.get(1)?)?;
            let mask = number(fields.get(7)?)?;
            let prefix = u8::try_from(mask.leading_ones()).ok()?;
            (prefix > 0).then_some((*fields.first()?, Subnet::new(destination, prefix)))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn subnet(text: &str) -> Subnet {
        text.parse().unwrap()
    }

    #[test]
    fn the_first_that_collides_with_nothing_is_taken() {
        assert_eq!(free(&[]).next(), Some(subnet("10.200.0.0/20")));
        let taken = [subnet("10.200.0.0/24"), subnet("10.200.16.0/20"), subnet("172.17.0.0/16")];
        assert_eq!(free(&taken).next(), Some(subnet("10.200.32.0/20")));
        // A company network on all of 10/8 is stepped around.
        assert_eq!(free(&[subnet("10.0.0.0/8")]).next(), Some(subnet("172.28.0.0/20")));
        assert_eq!(free(&[subnet("0.0.0.0/0")]).next(), None);
    }

    #[test]
    fn the_kernels_routes_are_read_without_the_default_one() {
        let table = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\n\
                     eth0\t00000000\t0100A8C0\t0003\t0\t0\t0\t00000000\t0\n\
                     eth0\t0000A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\n\
                     docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\n";
        assert_eq!(
            routes(table),
            [("eth0", subnet("192.168.0.0/24")), ("docker0", subnet("172.17.0.0/16"))]
        );
        assert!(routes("").is_empty());
    }

    #[test]
    fn what_is_no_subnet_is_refused() {
        for text in ["", "10.0.0.0", "10.0.0.0/33", "10.0.0/8", "fd00::/8", "a/8"] {
            assert!(text.parse::<Subnet>().is_err(), "{text}");
        }
        assert_eq!(subnet("10.1.2.3/8").to_string(), "10.0.0.0/8");
    }

    #[test]
    fn addresses_are_counted_without_those_that_nobody_gets() {
        for (text, capacity) in [("10.0.0.0/20", 4093), ("10.0.0.0/29", 5), ("10.0.0.0/32", 0)] {
            assert_eq!(subnet(text).capacity(), capacity, "{text}");
        }
    }

    #[test]
    fn addresses_are_counted_down_and_never_the_gateways() {
        let large = subnet("10.200.0.0/20");
        let address = |subnet: Subnet, number| subnet.last_but(number).unwrap().to_string();
        assert_eq!(address(large, 0), "10.200.15.254");
        assert_eq!(address(large, 1), "10.200.15.253");
        assert_eq!(address(large, 4092), "10.200.0.2");
        assert_eq!(address(large, 4093), "10.200.15.254");
        assert_eq!(address(subnet("192.168.7.0/24"), 252), "192.168.7.2");
        assert_eq!(subnet("192.168.7.0/29").last_but(0), None);
    }

    proptest! {
        #[test]
        fn a_free_subnet_is_free(taken in prop::collection::vec((any::<u32>(), 8_u8..=32), 0..40)) {
            let taken: Vec<_> = taken.into_iter().map(|(a, p)| Subnet::new(a, p)).collect();
            if let Some(found) = free(&taken).next() {
                for &other in &taken {
                    let (one, two) = if found.prefix <= other.prefix { (found, other) } else { (other, found) };
                    prop_assert!(two.address & mask(one.prefix) != one.address);
                }
            }
        }
    }
}
