//! Certificates for the proxy: made by mkcert, by openssl, by an authority of our own in here, or
//! by a public authority through certbot.
//!
//! For: [`Tls`], the [`CertificateProvider`](thon_core::adapter::CertificateProvider) that keeps a
//! valid pair of files in one folder, and [`explain`], which tells people who will trust it.
//!
//! Not for: serving the certificate or reloading whoever serves it; that is the proxy's.
//!
//! ## What lies where
//!
//! | file in [`TlsSettings::dir`] | what | mode |
//! |---|---|---|
//! | `thon.pem`, `thon-key.pem` | the chain and its key | 0644, 0600 |
//! | `rootCA.pem` | a copy of the root, to be served as `/ca.crt` | 0644 |
//! | `ca/rootCA.pem`, `ca/rootCA-key.pem` | the authority of this node | 0644, 0600 |
//! | `caroot` | the folder of the authority, where it is an older mkcert root of the person's | 0600 |
//! | `.lock` | held while a certificate is looked at or made | 0600 |
//!
//! The names of the pair never change with what the certificate says: the proxy's configuration
//! names them, and a certificate for another address must not need another configuration.
//!
//! mkcert, openssl and the embedded authority share one root per node, in mkcert's own layout.
//! Participants import a root once; switching the provider, or falling back from one to another,
//! must not make them do it again. For the same reason a root is never replaced silently: a broken
//! one is an error that says how to restore it or how to start anew.

mod advice;
mod authority;
mod certbot;
mod embedded;
mod facts;
mod files;
mod material;
mod mkcert;
mod names;
mod openssl;
mod process;
mod provider;
mod settings;

pub use advice::explain;
pub use provider::Tls;
pub use settings::{Provider, TlsSettings, UnknownProvider};
