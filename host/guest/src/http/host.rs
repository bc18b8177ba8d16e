//! A host that the policy lists: where to connect, and as whom the server must show itself.

use std::net::IpAddr;

use rustls::pki_types::ServerName;
use serde::Deserialize;

/// One entry of `http_hosts`: `name:port` or `address:port` for HTTPS; `http://address:port`, loopback only,
/// for plain HTTP. IPv6 addresses are in brackets.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct HttpHost {
    listed: String,
    authority: String,
    name: String,
    port: u16,
    server: Option<ServerName<'static>>,
}

impl HttpHost {
    /// As the policy has it; a plugin names the host so.
    pub fn listed(&self) -> &str {
        &self.listed
    }

    /// Whether it is asked over TLS.
    pub(crate) fn is_tls(&self) -> bool {
        self.server.is_some()
    }

    /// Whom the certificate must name; none for plain HTTP.
    pub(crate) fn server(&self) -> Option<&ServerName<'static>> {
        self.server.as_ref()
    }

    /// Name or address, and port, to connect to.
    pub(crate) fn target(&self) -> (&str, u16) {
        (&self.name, self.port)
    }

    /// What the header `Host` says.
    pub(crate) fn authority(&self) -> &str {
        &self.authority
    }
}

impl TryFrom<String> for HttpHost {
    type Error = String;

    fn try_from(listed: String) -> Result<Self, String> {
        let wrong = |why: &str| format!("`{}`: {why}", listed.escape_debug());
        let (authority, plain) =
            listed.strip_prefix("http://").map_or((listed.as_str(), false), |rest| (rest, true));
        let shape = || wrong("expected name:port, or http://ADDRESS:port on loopback");
        let (name, port) = authority.rsplit_once(':').ok_or_else(shape)?;
        let port = port.parse().ok().filter(|port| *port != 0).ok_or_else(shape)?;
        let name = match name.strip_prefix('[') {
            Some(v6) => v6.strip_suffix(']').filter(|v6| v6.contains(':')).ok_or_else(shape)?,
            None if name.contains(':') => return Err(shape()),
            None => name,
        };
        let server = ServerName::try_from(name.to_owned()).map_err(|_| shape())?;
        if plain {
            // An address, not a name: nothing that answers for names can lead it elsewhere.
            let is_loopback = name.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback());
            if !is_loopback {
                return Err(wrong("plain HTTP is for loopback addresses only"));
            }
        }
        let (authority, name) = (authority.to_owned(), name.to_owned());
        Ok(HttpHost { authority, name, port, server: (!plain).then_some(server), listed })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str) -> Result<HttpHost, String> {
        HttpHost::try_from(text.to_owned())
    }

    #[test]
    fn hosts_are_told_with_their_port() {
        let named = host("hr.example:8443").unwrap();
        assert_eq!((named.target(), named.is_tls()), (("hr.example", 8443), true));
        assert_eq!(host("[2001:db8::1]:443").unwrap().target(), ("2001:db8::1", 443));
        let plain = host("http://[::1]:80").unwrap();
        assert_eq!((plain.target(), plain.is_tls(), plain.authority()), (("::1", 80), false, "[::1]:80"));
        assert!(!host("http://127.0.0.1:8080").unwrap().is_tls());
    }

    #[test]
    fn what_is_no_host_or_not_loopback_is_refused() {
        for text in [
            "",
            "hr.example",
            "hr.example:",
            "hr.example:0",
            "hr.example:65536",
            ":443",
            "a b:443",
            "a/b:443",
            "user@hr.example:443",
            "https://hr.example:443",
            "::1:443",
            "[::1]",
            "[hr]:443",
            "*.example:443",
            "http://hr.example:80",
            "http://10.0.0.1:80",
            "http://localhost:80",
            "http://[::2]:80",
        ] {
            assert!(host(text).is_err(), "{text}");
        }
    }
}
