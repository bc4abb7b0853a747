//! Where somebody listens: `unix:///path`, `tcp://host:port` or `tls://host:port`.
//!
//! An address is not an identity: whoever connects checks the incarnation that answers.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Where somebody listens, or shall listen.
///
/// ```
/// use kask_net::Address;
/// let address: Address = "tcp://127.0.0.1:8786".parse().unwrap();
/// assert_eq!(address.to_string(), "tcp://127.0.0.1:8786");
/// assert_eq!(address.host(), Some("127.0.0.1"));
/// assert!("127.0.0.1".parse::<Address>().is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Address {
    /// A socket in the file system of this machine.
    Unix(PathBuf),
    /// A port without encryption; on this machine only.
    Tcp {
        /// Name or IP address.
        host: String,
        /// Port; 0 asks for a free one when listening.
        port: u16,
    },
    /// A port with TLS and certificates on both sides.
    Tls {
        /// Name or IP address.
        host: String,
        /// Port; 0 asks for a free one when listening.
        port: u16,
    },
}

/// Why a text is not an address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// No or another scheme.
    #[error("{given:?} is not an address: write tls://host:port, tcp://host:port or unix:///path")]
    Scheme {
        /// What was given.
        given: String,
    },
    /// A Unix address whose path is relative or missing.
    #[error("{given:?} needs an absolute path: write unix:///path/to/socket")]
    Path {
        /// What was given.
        given: String,
    },
    /// No host.
    #[error("{given:?} names no host: write {scheme}://host:port")]
    Host {
        /// What was given.
        given: String,
        /// Its scheme.
        scheme: &'static str,
    },
    /// No port, or not a number from 0 to 65535.
    #[error("{given:?} needs a port from 0 to 65535: write {scheme}://{host}:8786")]
    Port {
        /// What was given.
        given: String,
        /// Its scheme.
        scheme: &'static str,
        /// Its host.
        host: String,
    },
}

impl Address {
    /// Name or IP address; none for a Unix socket.
    pub fn host(&self) -> Option<&str> {
        match self {
            Address::Unix(_) => None,
            Address::Tcp { host, .. } | Address::Tls { host, .. } => Some(host),
        }
    }

    /// The port; none for a Unix socket.
    pub fn port(&self) -> Option<u16> {
        match self {
            Address::Unix(_) => None,
            Address::Tcp { port, .. } | Address::Tls { port, .. } => Some(*port),
        }
    }

    /// Whether a connection to it is encrypted.
    pub fn is_tls(&self) -> bool {
        matches!(self, Address::Tls { .. })
    }

    /// The same place under another host name (to advertise a listener on all interfaces) and port.
    pub fn with_host_and_port(&self, host: &str, port: u16) -> Address {
        match self {
            Address::Unix(path) => Address::Unix(path.clone()),
            Address::Tcp { .. } => Address::Tcp { host: host.to_owned(), port },
            Address::Tls { .. } => Address::Tls { host: host.to_owned(), port },
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, host, port) = match self {
            Address::Unix(path) => return write!(f, "unix://{}", path.display()),
            Address::Tcp { host, port } => ("tcp", host, port),
            Address::Tls { host, port } => ("tls", host, port),
        };
        if host.contains(':') { write!(f, "{scheme}://[{host}]:{port}") } else { write!(f, "{scheme}://{host}:{port}") }
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(given: &str) -> Result<Address, AddressError> {
        let text = given.trim();
        match text.split_once("://") {
            Some(("unix", path)) if path.starts_with('/') && path.len() > 1 => Ok(Address::Unix(PathBuf::from(path))),
            Some(("unix", _)) => Err(AddressError::Path { given: given.to_owned() }),
            Some(("tcp", rest)) => host_and_port(given, "tcp", rest).map(|(host, port)| Address::Tcp { host, port }),
            Some(("tls", rest)) => host_and_port(given, "tls", rest).map(|(host, port)| Address::Tls { host, port }),
            Some(_) | None => Err(AddressError::Scheme { given: given.to_owned() }),
        }
    }
}

fn host_and_port(given: &str, scheme: &'static str, rest: &str) -> Result<(String, u16), AddressError> {
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let (host, port) = match rest.strip_prefix('[') {
        Some(bracketed) => match bracketed.split_once(']') {
            Some((host, port)) => (host, port.strip_prefix(':')),
            None => return Err(AddressError::Host { given: given.to_owned(), scheme }),
        },
        None => match rest.rsplit_once(':') {
            // An IPv6 address without brackets: where its port would begin cannot be told.
            Some((host, _)) if host.contains(':') => {
                return Err(AddressError::Port { given: given.to_owned(), scheme, host: format!("[{rest}]") });
            }
            Some((host, port)) => (host, Some(port)),
            None => (rest, None),
        },
    };
    if host.is_empty() || host.contains(|c: char| c.is_whitespace() || c == '/') {
        return Err(AddressError::Host { given: given.to_owned(), scheme });
    }
    match port.map(str::parse) {
        Some(Ok(port)) => Ok((host.to_owned(), port)),
        Some(Err(_)) | None => Err(AddressError::Port { given: given.to_owned(), scheme, host: host.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_print_as_they_are_read() {
        for text in ["unix:///run/kask/s", "tcp://localhost:0", "tls://db.example.org:8786", "tls://[::1]:65535"] {
            assert_eq!(text.parse::<Address>().expect(text).to_string(), text);
        }
        assert_eq!("tls://[::1]:1".parse::<Address>().expect("IPv6").host(), Some("::1"));
    }

    #[test]
    fn errors_say_what_to_write() {
        let says = |text: &str| text.parse::<Address>().expect_err(text).to_string();
        assert_eq!(
            says("localhost:8786"),
            "\"localhost:8786\" is not an address: write tls://host:port, tcp://host:port or unix:///path"
        );
        assert!(says("http://x:1").contains("write tls://host:port"));
        assert!(says("unix://relative").contains("unix:///path/to/socket"));
        assert!(says("unix:///").contains("absolute path"));
        assert!(says("tcp://host").contains("write tcp://host:8786"));
        assert!(says("tls://host:70000").contains("from 0 to 65535"));
        assert!(says("tls://::1:80").contains("[::1:80]:8786"));
        assert!(says("tls://:80").contains("names no host"));
        assert!(says("tls://[::1").contains("names no host"));
    }
}
