//! What a sandbox must not reach, or may: servers on this machine and beyond it.
//!
//! For: a service of this machine, and an internet that is a network namespace of the test's own.
//! Not for: the proxy and the sandboxes; the stage has them.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::AsFd;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// What each of them says.
pub(crate) const WORDS: &str = "here I am";

/// A web server on every address of the network that it is in.
pub(crate) struct Service {
    pub(crate) port: u16,
    visits: Arc<AtomicUsize>,
}

impl Service {
    /// On this machine, with IPv6 where the machine has it.
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("[::]:0").or_else(|_| TcpListener::bind("0.0.0.0:0"));
        Self::on(listener.unwrap())
    }

    fn on(listener: TcpListener) -> Self {
        let port = listener.local_addr().unwrap().port();
        let visits = Arc::new(AtomicUsize::new(0));
        let counted = visits.clone();
        // It ends with the test's process.
        thread::spawn(move || {
            for mut visitor in listener.incoming().map_while(Result::ok) {
                counted.fetch_add(1, Ordering::SeqCst);
                let length = WORDS.len();
                let answer = format!("HTTP/1.0 200 OK\r\nContent-Length: {length}\r\n\r\n{WORDS}");
                // A visitor may have gone.
                drop(visitor.read(&mut [0; 1024]));
                drop(visitor.write_all(answer.as_bytes()));
            }
        });
        Self { port, visits }
    }

    /// How many connections there were.
    pub(crate) fn visits(&self) -> usize {
        self.visits.load(Ordering::SeqCst)
    }
}

/// A machine that is only reached through this one, as those on the internet are.
pub(crate) struct Internet {
    name: String,
    pub(crate) address: Ipv4Addr,
    pub(crate) service: Service,
}

impl Internet {
    /// `slot` is a number below 400 that no other test has now.
    pub(crate) fn new(slot: u16) -> Self {
        let name = format!("thon-net-{slot}");
        let [high, low] = (slot * 4).to_be_bytes();
        // From the block for measurements of RFC 2544, which nobody routes.
        let at = |host: u8| Ipv4Addr::new(198, 18, high, low + host);
        let (near, far) = (at(1), at(2));
        let inside = format!("{name}i");
        // What a test that was killed has left.
        take_away(&name);
        ip(&["netns", "add", &name]);
        ip(&["link", "add", &name, "type", "veth", "peer", "name", &inside, "netns", &name]);
        ip(&["addr", "add", &format!("{near}/30"), "dev", &name]);
        ip(&["link", "set", &name, "up"]);
        ip(&["-n", &name, "addr", "add", &format!("{far}/30"), "dev", &inside]);
        ip(&["-n", &name, "link", "set", &inside, "up"]);
        // It answers whoever asks, whether or not this machine lends its own address.
        ip(&["-n", &name, "route", "add", "default", "via", &near.to_string()]);
        let namespace = File::open(format!("/run/netns/{name}")).unwrap();
        let entered = thread::spawn(move || {
            let network = Some(LinkNameSpaceType::Network);
            move_into_link_name_space(namespace.as_fd(), network).unwrap();
            Service::on(TcpListener::bind("0.0.0.0:0").unwrap())
        });
        Self { name, address: far, service: entered.join().unwrap() }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}:{}/", self.address, self.service.port)
    }
}

impl Drop for Internet {
    fn drop(&mut self) {
        take_away(&self.name);
    }
}

fn take_away(name: &str) {
    drop(Command::new("ip").args(["link", "del", name]).output());
    drop(Command::new("ip").args(["netns", "del", name]).output());
}

#[track_caller]
fn ip(args: &[&str]) {
    let said = Command::new("ip").args(args).output().unwrap();
    assert!(said.status.success(), "ip {args:?}: {said:?}");
}
