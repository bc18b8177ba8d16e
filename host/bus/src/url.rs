//! Which NATS servers a URL names, and rule 11: off loopback only with TLS and credentials.

use std::net::IpAddr;

use crate::BusError;

/// What to connect with.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Servers {
    /// `scheme://host:port` each, without credentials.
    pub(crate) addresses: Vec<String>,
    pub(crate) tls: bool,
    pub(crate) login: Option<Login>,
}

/// What to say at CONNECT.
#[derive(PartialEq, Eq)]
pub(crate) enum Login {
    Password { user: String, password: String },
    Token(String),
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Login")
    }
}

/// Parses `nats://[USER:PASSWORD@|TOKEN@]HOST[:PORT]` or `tls://…`, or several separated by commas;
/// the credentials of the first that has some are used for all.
///
/// # Errors
/// [`BusError::Refused`] with the URL (without credentials) and the reason in one line.
pub(crate) fn parse(url: &str) -> Result<Servers, BusError> {
    let mut servers = Servers { addresses: Vec::new(), tls: false, login: None };
    let mut away = None;
    for part in url.split(',').map(str::trim) {
        let Some((scheme, rest)) = part.split_once("://") else {
            return refused("of the bus", "expected nats://HOST:PORT or tls://USER:PASSWORD@HOST:PORT");
        };
        let (login, address) = match rest.trim_end_matches('/').rsplit_once('@') {
            Some((login, address)) => (Some(login), address),
            None => (None, rest.trim_end_matches('/')),
        };
        let shown = format!("{scheme}://{address}");
        match scheme {
            "tls" => servers.tls = true,
            "nats" => {}
            _ => return refused(&shown, "expected nats:// or tls://"),
        }
        let host = host(address);
        if host.is_empty() || address.contains(['/', '?', '#']) {
            return refused(&shown, "expected a host and a port after ://");
        }
        if !is_loopback(host) {
            if scheme != "tls" {
                return refused(&shown, "a bus off loopback needs TLS: use tls://");
            }
            away = Some(shown.clone());
        }
        if let (None, Some(login)) = (&servers.login, login) {
            servers.login =
                Some(credentials(login).ok_or_else(|| wrong(&shown, "the credentials are not readable"))?);
        }
        servers.addresses.push(shown);
    }
    if let (Some(shown), None) = (away, &servers.login) {
        return refused(&shown, "a bus off loopback needs credentials: use tls://USER:PASSWORD@HOST:PORT");
    }
    Ok(servers)
}

fn wrong(url: &str, reason: &str) -> BusError {
    BusError::Refused(format!("bus {url}: {reason}"))
}

fn refused<T>(url: &str, reason: &str) -> Result<T, BusError> {
    Err(wrong(url, reason))
}

fn host(address: &str) -> &str {
    if let Some(rest) = address.strip_prefix('[') {
        return rest.split_once(']').map_or("", |(host, _)| host);
    }
    address.split_once(':').map_or(address, |(host, _)| host)
}

fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn credentials(text: &str) -> Option<Login> {
    let login = match text.split_once(':') {
        Some((user, password)) => Login::Password { user: decoded(user)?, password: decoded(password)? },
        None => Login::Token(decoded(text)?),
    };
    let empty = match &login {
        Login::Password { user, password } => user.is_empty() || password.is_empty(),
        Login::Token(token) => token.is_empty(),
    };
    (!empty).then_some(login)
}

/// Undoes percent-encoding (RFC 3986, 2.1).
fn decoded(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let hex = [bytes.next()?, bytes.next()?];
        out.push(u8::from_str_radix(std::str::from_utf8(&hex).ok()?, 16).ok()?);
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(url: &str) -> String {
        parse(url).unwrap_err().to_string()
    }

    #[test]
    fn loopback_needs_nothing() {
        for url in ["nats://127.0.0.1:4222", "nats://localhost", "nats://[::1]:4222/", "tls://127.0.0.1"] {
            assert!(parse(url).is_ok(), "{url}");
        }
    }

    #[test]
    fn off_loopback_needs_tls_and_credentials() {
        assert!(reason("nats://u:secret@10.0.0.1:4222").contains("needs TLS"));
        assert!(reason("tls://bus.example:4222").contains("needs credentials"));
        assert!(reason("tls://u:@bus.example").contains("credentials"));
        assert!(reason("tls://u:secret@a.example,nats://b.example").contains("needs TLS"));
        let servers = parse("tls://u:p%40ss@a.example:4222,tls://b.example").unwrap();
        assert_eq!(servers.addresses, ["tls://a.example:4222", "tls://b.example"]);
        assert!(servers.tls);
        assert!(servers.login == Some(Login::Password { user: "u".into(), password: "p@ss".into() }));
    }

    #[test]
    fn a_password_is_never_shown() {
        for url in ["nats://u:secret@10.0.0.1", "ws://u:secret@10.0.0.1", "tls://u:sec/ret@h/x", "u:secret@h"]
        {
            assert!(!reason(url).contains("sec"), "{url}");
        }
        assert!(!format!("{:?}", parse("nats://secret@127.0.0.1").unwrap()).contains("secret"));
    }
}
