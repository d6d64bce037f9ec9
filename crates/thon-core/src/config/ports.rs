//! Lists of ports.
//!
//! For: `[9080, 13305]` in YAML and `9080,13305` in the environment.
//! Not for: ranges; see [`super::types::PortRange`].

use std::fmt;

use serde::de::{self, Deserializer, SeqAccess, Visitor};
use serde_yaml::Value;

use super::leaf::refused;
use super::node::{Found, Meta, Node, NodeSeed, Rule, ShowSecrets};
use super::read::{Reader, Step};
use crate::endpoint::Port;

/// What a list of ports looks like.
const PORTS: &str = "a list of ports such as [9080, 13305]";
/// The most ports in a list: more than a machine has services that sandboxes need.
const MOST: usize = 256;

/// Ports, each of them once.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PortList(Vec<Port>);

impl PortList {
    /// The ports, in the order of the file.
    #[must_use]
    pub fn ports(&self) -> &[Port] {
        &self.0
    }

    fn push(&mut self, port: Port) -> Result<(), String> {
        if self.0.contains(&port) {
            return Err(format!("port {port} is given twice"));
        }
        if self.0.len() == MOST {
            return Err(format!("at most {MOST} ports are allowed"));
        }
        self.0.push(port);
        Ok(())
    }

    fn parse(text: &str) -> Result<Self, String> {
        let mut list = Self::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            list.push(part.parse().map_err(|_| refused(text, PORTS))?)?;
        }
        Ok(list)
    }
}

impl FromIterator<Port> for PortList {
    fn from_iter<I: IntoIterator<Item = Port>>(ports: I) -> Self {
        let mut list = Self::default();
        for port in ports {
            // A port that is there already is there.
            drop(list.push(port));
        }
        list
    }
}

impl Node for PortList {
    fn read<'de, D: Deserializer<'de>>(
        reader: &Reader<'_>,
        _rule: Option<Rule<Self>>,
        deserializer: D,
    ) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ListVisitor(reader))
    }

    fn yaml(&self, _show: ShowSecrets) -> Value {
        Value::Sequence(self.0.iter().map(|port| Value::Number(port.get().into())).collect())
    }

    fn walk(&self, path: &str, meta: &Meta, visit: &mut dyn FnMut(Found<'_>)) {
        let ports: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        let allowed = PORTS.to_owned();
        visit(Found { path, meta, allowed, secret: false, text: ports.join(",") });
    }

    fn assign(
        &mut self,
        path: &[&str],
        _rule: Option<Rule<Self>>,
        text: &str,
    ) -> Result<bool, String> {
        if !path.is_empty() {
            return Ok(false);
        }
        *self = Self::parse(text)?;
        Ok(true)
    }
}

struct ListVisitor<'r, 't>(&'r Reader<'t>);

impl<'de> Visitor<'de> for ListVisitor<'_, '_> {
    type Value = PortList;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PORTS)
    }

    fn visit_unit<E: de::Error>(self) -> Result<PortList, E> {
        Ok(PortList::default())
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<PortList, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<PortList, E> {
        PortList::parse(text).map_err(|problem| self.0.refuse(problem))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<PortList, A::Error> {
        let reader = self.0;
        let mut list = PortList::default();
        let mut index = 0;
        loop {
            let more = reader.at(Step::Index(index), || {
                match seq.next_element_seed(NodeSeed::<Port> { reader, rule: None })? {
                    Some(port) => list.push(port).map(|()| true).map_err(|p| reader.refuse(p)),
                    None => Ok(false),
                }
            })?;
            if !more {
                return Ok(list);
            }
            index += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    #[test]
    fn ports_are_read_in_each_form_and_written_as_a_list() {
        for text in ["[9080, 13305]", "\"9080, 13305\""] {
            let yaml = format!("sandbox: {{host_services: {text}}}");
            let config = Config::parse(&yaml, "thon.yaml").unwrap().config;
            let numbers: Vec<u16> =
                config.sandbox.host_services.ports().iter().map(|port| port.get()).collect();
            assert_eq!(numbers, [9080, 13305], "{text}");
        }
        let one = Config::parse("sandbox: {host_services: 9080}", "thon.yaml").unwrap();
        assert_eq!(one.config.sandbox.host_services.ports().len(), 1);
    }

    #[test]
    fn what_is_no_port_or_comes_twice_is_refused_in_its_place() {
        let refused = |text: &str| {
            let yaml = format!("sandbox: {{host_services: {text}}}");
            Config::parse(&yaml, "thon.yaml").unwrap_err().to_string()
        };
        let twice = refused("[80, 80]");
        assert!(twice.contains("host_services[1]") && twice.contains("twice"), "{twice}");
        assert!(refused("[http]").contains("\"http\""));
        assert!(refused("[0]").contains("host_services[0]"));
    }
}
