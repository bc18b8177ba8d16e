//! Which web pages may open WebSockets (RFC 6455, section 10.2). A browser says where a page comes from;
//! programs say nothing.

use std::sync::Arc;

/// The origins that are allowed beside the server's own host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins {
    any: bool,
    listed: Arc<[String]>,
}

/// What an origin must look like.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?}: expected `https://host`, `https://host:port` or `*`")]
pub struct NoOrigin(String);

impl Origins {
    /// Takes a list; `*` is every page.
    ///
    /// # Errors
    /// The first that is no origin.
    pub fn parse(list: Vec<String>) -> Result<Self, NoOrigin> {
        let mut origins = Origins::default();
        let mut listed = Vec::new();
        for origin in list {
            if origin == "*" {
                origins.any = true;
            } else if host(&origin).is_some() {
                listed.push(origin.to_ascii_lowercase());
            } else {
                return Err(NoOrigin(origin));
            }
        }
        origins.listed = listed.into();
        Ok(origins)
    }

    /// As the config lists them.
    pub fn list(&self) -> Vec<String> {
        self.any.then(|| "*".to_owned()).into_iter().chain(self.listed.iter().cloned()).collect()
    }

    /// Whether a page of `origin` may open a WebSocket to us, who were called `called`, perhaps with a
    /// port.
    pub fn admit(&self, origin: &str, called: Option<&str>) -> bool {
        let origin = origin.to_ascii_lowercase();
        let own = || {
            host(&origin).is_some_and(|from| {
                called.is_some_and(|called| from.eq_ignore_ascii_case(without_port(called)))
            })
        };
        self.any || self.listed.contains(&origin) || own()
    }
}

/// The host of `http(s)://host[:port]`.
fn host(origin: &str) -> Option<&str> {
    let lower = origin.get(..8).unwrap_or(origin).to_ascii_lowercase();
    let scheme = ["https://", "http://"].into_iter().find(|scheme| lower.starts_with(scheme))?;
    let authority = origin.get(scheme.len()..)?;
    let host = without_port(authority);
    let odd = |c: char| c.is_whitespace() || matches!(c, '/' | '@' | '?' | '#' | ',');
    (!host.is_empty() && !authority.contains(odd)).then_some(host)
}

fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => authority,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origins(list: &[&str]) -> Result<Origins, NoOrigin> {
        Origins::parse(list.iter().map(|origin| (*origin).to_owned()).collect())
    }

    #[test]
    fn our_own_host_and_what_is_listed() {
        let origins = origins(&["https://app.example.com", "http://localhost:3000"]).unwrap();
        let called = Some("push.example.com:8084");
        for origin in ["https://push.example.com", "HTTPS://Push.Example.COM:444", "https://app.example.com"]
        {
            assert!(origins.admit(origin, called), "{origin}");
        }
        for origin in [
            "https://evil.example",
            "https://push.example.com.evil.example",
            "https://evil.example/push.example.com",
            "https://push.example.com@evil.example",
            "http://app.example.com",
            "http://localhost",
            "null",
            "",
        ] {
            assert!(!origins.admit(origin, called), "{origin}");
        }
        assert!(origins.admit("https://[::1]:8443", Some("[::1]:8084")));
        assert!(!origins.admit("https://push.example.com", None));
    }

    #[test]
    fn what_is_no_origin_is_named() {
        for wrong in ["app.example.com", "https://", "https://a/b", "ftp://a", "https://a b", ""] {
            assert_eq!(origins(&[wrong]), Err(NoOrigin(wrong.to_owned())));
        }
        assert!(origins(&["*"]).unwrap().admit("https://anything.example", None));
    }
}
