//! Where a listener listens.

use std::{fmt, io, path::PathBuf, str::FromStr};

use tokio::net::TcpListener;

/// `host:port`; the host is an IP address (IPv6 in brackets) or a name, port 0 picks a free one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    host: String,
    port: u16,
}

impl HostPort {
    /// The host as it was given, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port; 0 has the system pick one.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether the system picks the port.
    pub fn is_any_port(&self) -> bool {
        self.port == 0
    }

    /// Takes the address. Nothing is accepted before someone asks.
    ///
    /// # Errors
    /// In use, not ours, or a name that does not resolve.
    pub async fn bind(&self) -> io::Result<TcpListener> {
        TcpListener::bind((self.host.as_str(), self.port)).await
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// What is wrong with an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// No port, or no host.
    #[error("expected `host:port`")]
    Shape,
    /// The port is not a number below 65,536.
    #[error("the port is not a number from 0 to 65535")]
    Port,
    /// `unix:` without a path.
    #[error("expected a path after `unix:`")]
    Path,
}

impl FromStr for HostPort {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (host, port) = text.rsplit_once(':').ok_or(AddressError::Shape)?;
        let host = match host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
            Some(v6) => v6,
            // `::1:80` could be read in two ways.
            None if host.contains(':') => return Err(AddressError::Shape),
            None => host,
        };
        if host.is_empty() || host.contains(char::is_whitespace) {
            return Err(AddressError::Shape);
        }
        let port = port.parse().map_err(|_| AddressError::Port)?;
        Ok(HostPort { host: host.to_owned(), port })
    }
}

/// Where the admin API is: by default a unix socket with file permissions (rule 10).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminAddress {
    /// A socket file, mode 0600.
    Unix(PathBuf),
    /// TLS and a token.
    Network(HostPort),
}

impl FromStr for AdminAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        match text.strip_prefix("unix:") {
            Some("") => Err(AddressError::Path),
            Some(path) => Ok(AdminAddress::Unix(PathBuf::from(path))),
            None => text.parse().map(AdminAddress::Network),
        }
    }
}

impl fmt::Display for AdminAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AdminAddress::Unix(path) => write!(f, "unix:{}", path.display()),
            AdminAddress::Network(address) => address.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_host_and_port() {
        for text in ["127.0.0.1:1883", "[::1]:0", "localhost:8883", "mqtt.example.com:65535"] {
            let parsed: HostPort = text.parse().unwrap();
            assert_eq!(parsed.to_string(), text);
        }
        for (text, error) in [
            ("1883", AddressError::Shape),
            (":1883", AddressError::Shape),
            ("::1:1883", AddressError::Shape),
            ("a b:1", AddressError::Shape),
            ("localhost:", AddressError::Port),
            ("localhost:mqtt", AddressError::Port),
            ("localhost:65536", AddressError::Port),
        ] {
            assert_eq!(text.parse::<HostPort>(), Err(error), "{text}");
        }
    }

    #[test]
    fn the_admin_address_may_be_a_path() {
        assert_eq!("unix:/run/p.sock".parse(), Ok(AdminAddress::Unix("/run/p.sock".into())));
        assert_eq!("unix:".parse::<AdminAddress>(), Err(AddressError::Path));
        assert!(matches!("[::1]:9".parse(), Ok(AdminAddress::Network(_))));
    }
}
