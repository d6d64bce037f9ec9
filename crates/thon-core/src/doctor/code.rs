//! The codes of the checks.
//!
//! For: a name for each check that stays the same for ever, its title and its place in the docs.
//! Not for: what is checked; see [`super::checks`].

use std::fmt;

use serde::{Serialize, Serializer};

/// Declares the codes; a code that was given once is never given to something else.
macro_rules! codes {
    ($( $name:ident = $text:literal, $title:literal; )+) => {
        /// The name of a check.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $( #[doc = $title] $name, )+
        }

        impl Code {
            /// All of them, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The name, such as `THON-DOCKER-01`.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $( Self::$name => $text, )+ }
            }

            /// What is checked, in a few words.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $( Self::$name => $title, )+ }
            }
        }
    };
}

codes! {
    Docker01 = "THON-DOCKER-01", "Docker answers";
    Docker02 = "THON-DOCKER-02", "Docker may be used";
    Docker03 = "THON-DOCKER-03", "Docker answers in time";
    Docker04 = "THON-DOCKER-04", "Docker is recent enough";
    Docker05 = "THON-DOCKER-05", "Docker runs on this machine";
    Docker06 = "THON-DOCKER-06", "limits can be enforced";
    Docker07 = "THON-DOCKER-07", "memory limits include swap";
    Docker08 = "THON-DOCKER-08", "cgroup version";
    Docker09 = "THON-DOCKER-09", "system calls are filtered";
    Docker10 = "THON-DOCKER-10", "sandboxes may write to labelled folders";
    Image01 = "THON-IMAGE-01", "the sandbox image is here";
    Image02 = "THON-IMAGE-02", "the sandbox image is current";
    Disk01 = "THON-DISK-01", "space for Docker";
    Disk02 = "THON-DISK-02", "space for workspaces";
    Disk03 = "THON-DISK-03", "space for THON's own files";
    Memory01 = "THON-MEMORY-01", "memory for everyone idle";
    Memory02 = "THON-MEMORY-02", "memory for everyone at work";
    Memory03 = "THON-MEMORY-03", "memory for everyone at their limit";
    Kernel01 = "THON-KERNEL-01", "inotify instances";
    Kernel02 = "THON-KERNEL-02", "inotify watches";
    Kernel03 = "THON-KERNEL-03", "open files";
    Kernel04 = "THON-KERNEL-04", "processes";
    Kernel05 = "THON-KERNEL-05", "tracked connections";
    Kernel06 = "THON-KERNEL-06", "neighbour table";
    Net01 = "THON-NET-01", "traffic on bridges is filtered";
    Net02 = "THON-NET-02", "addresses for everyone";
    Net03 = "THON-NET-03", "the subnet is free";
    Net04 = "THON-NET-04", "the sandboxes' network";
    Firewall01 = "THON-FIREWALL-01", "sandboxes are kept from this machine";
    Port01 = "THON-PORT-01", "the ports of nginx";
    Port02 = "THON-PORT-02", "the ports of seats";
    Port03 = "THON-PORT-03", "ports for newcomers";
    Port04 = "THON-PORT-04", "ports apart from outgoing connections";
    Nginx01 = "THON-NGINX-01", "nginx is installed";
    Nginx02 = "THON-NGINX-02", "nginx is recent enough";
    Nginx03 = "THON-NGINX-03", "nginx accepts its configuration";
    Nginx04 = "THON-NGINX-04", "nginx runs";
    Nginx05 = "THON-NGINX-05", "connections through nginx";
    Tls01 = "THON-TLS-01", "there is a certificate";
    Tls02 = "THON-TLS-02", "the certificate has not expired";
    Tls03 = "THON-TLS-03", "the certificate lasts";
    Tls04 = "THON-TLS-04", "the certificate covers the address";
    Tls05 = "THON-TLS-05", "the certificate's chain and key";
    Tls06 = "THON-TLS-06", "browsers trust the certificate";
    Dns01 = "THON-DNS-01", "the domain has an address";
    Dns02 = "THON-DNS-02", "the domain leads here";
    Clock01 = "THON-CLOCK-01", "the clock is right";
    Clock02 = "THON-CLOCK-02", "the clock is kept right";
    Files01 = "THON-FILES-01", "secrets are private";
    Files02 = "THON-FILES-02", "THON's folder is its owner's";
    Layout01 = "THON-LAYOUT-01", "participants are apart in the browser";
}

impl Code {
    /// The code of this name, in capital letters or small ones.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.as_str().eq_ignore_ascii_case(text))
    }

    /// Where it is explained: `docs/doctor.md#thon-docker-01`.
    #[must_use]
    pub fn docs(self) -> String {
        format!("docs/doctor.md#{}", self.as_str().to_ascii_lowercase())
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
