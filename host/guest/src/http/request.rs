//! A plugin's request, judged and made into one of HTTP's.

use std::fmt::Write as _;
use std::time::Duration;

use hyper::Method;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};

use super::{HttpError, HttpHost, shown};

/// Headers of one request.
const MOST_HEADERS: usize = 64;
/// Their bytes, and those of the path and the query, each.
const MOST_HEADER_BYTES: usize = 16 << 10;

/// What a plugin asks.
#[derive(Debug, Default)]
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) host: String,
    pub(crate) path: Vec<String>,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) timeout_ms: Option<u32>,
}

/// What a server answered.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// A request that may be sent.
#[derive(Debug)]
pub(crate) struct Prepared<'a> {
    pub(crate) host: &'a HttpHost,
    pub(crate) method: Method,
    /// Path and query.
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) timeout: Option<Duration>,
}

/// Judges a request to a host that is listed.
pub(super) fn prepare(host: &HttpHost, request: Request) -> Result<Prepared<'_>, HttpError> {
    Ok(Prepared {
        host,
        method: request.method,
        target: target(&request.path, &request.query)?,
        headers: headers(&request.headers)?,
        body: request.body,
        timeout: request.timeout_ms.map(|ms| Duration::from_millis(ms.into())),
    })
}

fn target(path: &[String], query: &[(String, String)]) -> Result<String, HttpError> {
    let mut target = String::new();
    for (at, segment) in path.iter().enumerate() {
        let is_last = at + 1 == path.len();
        let is_sound = !matches!(segment.as_str(), "." | "..")
            && (is_last || !segment.is_empty())
            // Servers that decode before they route would take these for more than a segment.
            && !segment.contains(|c: char| matches!(c, '/' | '\\') || c.is_control());
        if !is_sound {
            return Err(HttpError::Refused(format!("`{}` is no segment of a path", shown(segment))));
        }
        target.push('/');
        encode(&mut target, segment);
    }
    if target.is_empty() {
        target.push('/');
    }
    for (at, (name, value)) in query.iter().enumerate() {
        target.push(if at == 0 { '?' } else { '&' });
        encode(&mut target, name);
        target.push('=');
        encode(&mut target, value);
    }
    if target.len() > MOST_HEADER_BYTES {
        return Err(HttpError::Refused(format!("path and query are over {MOST_HEADER_BYTES} bytes")));
    }
    Ok(target)
}

/// Percent-encodes all but RFC 3986's unreserved characters.
pub(super) fn encode(out: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}"); // a String takes everything
        }
    }
}

fn headers(fields: &[(String, String)]) -> Result<HeaderMap, HttpError> {
    let bytes: usize = fields.iter().map(|(name, value)| name.len() + value.len()).sum();
    if fields.len() > MOST_HEADERS || bytes > MOST_HEADER_BYTES {
        let text = format!("more than {MOST_HEADERS} headers, or {MOST_HEADER_BYTES} bytes of them");
        return Err(HttpError::Refused(text));
    }
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        let wrong = || HttpError::Refused(format!("the header `{}` cannot be sent", shown(name)));
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?;
        if is_the_hosts(&name) {
            return Err(HttpError::Refused(format!("the header `{name}` is the host's to write")));
        }
        headers.append(name, HeaderValue::from_str(value).map_err(|_| wrong())?);
    }
    Ok(headers)
}

/// What says where a request goes, where it ends, and what becomes of the connection.
fn is_the_hosts(name: &HeaderName) -> bool {
    const OURS: [HeaderName; 8] = [
        header::HOST,
        header::CONTENT_LENGTH,
        header::TRANSFER_ENCODING,
        header::CONNECTION,
        header::UPGRADE,
        header::TE,
        header::TRAILER,
        header::EXPECT,
    ];
    OURS.contains(name) || name == "keep-alive" || name.as_str().starts_with("proxy-")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target_of(path: &[&str], query: &[(&str, &str)]) -> Result<String, HttpError> {
        let path: Vec<String> = path.iter().map(|&segment| segment.to_owned()).collect();
        let query: Vec<_> = query.iter().map(|&(n, v)| (n.to_owned(), v.to_owned())).collect();
        target(&path, &query)
    }

    #[test]
    fn paths_and_queries_are_encoded() {
        assert_eq!(target_of(&[], &[]).unwrap(), "/");
        assert_eq!(target_of(&["v1", "users", ""], &[]).unwrap(), "/v1/users/");
        assert_eq!(target_of(&["a b", "ü?#%"], &[]).unwrap(), "/a%20b/%C3%BC%3F%23%25");
        assert_eq!(target_of(&["x"], &[("q", "a&b=c"), ("n", "1+1")]).unwrap(), "/x?q=a%26b%3Dc&n=1%2B1");
    }

    #[test]
    fn what_a_user_typed_cannot_become_another_path() {
        for segment in [".", "..", "a/b", "..\\..", "a\r\nHost: x", "\0"] {
            assert!(target_of(&["users", segment], &[]).is_err(), "{segment:?}");
        }
        assert!(target_of(&["", "users"], &[]).is_err());
        assert!(target_of(&[&"x".repeat(MOST_HEADER_BYTES)], &[]).is_err());
    }

    #[test]
    fn headers_of_the_connection_are_the_hosts() {
        let one = |name: &str, value: &str| headers(&[(name.to_owned(), value.to_owned())]);
        assert_eq!(one("X-Request", "1").unwrap().len(), 1);
        for name in
            ["Host", "content-length", "Transfer-Encoding", "Connection", "Proxy-Authorization", "Expect"]
        {
            assert!(one(name, "x").is_err(), "{name}");
        }
        for (name, value) in [("a b", "x"), ("", "x"), ("x", "a\r\nb: c"), ("x", "\0")] {
            assert!(one(name, value).is_err(), "{name:?}: {value:?}");
        }
        assert!(headers(&vec![("x".to_owned(), String::new()); MOST_HEADERS + 1]).is_err());
    }
}
