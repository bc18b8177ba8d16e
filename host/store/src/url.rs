//! What the store's URL names, and rule 11: a database off loopback needs TLS and credentials.

use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

use sqlx::postgres::{PgConnectOptions, PgSslMode};

use crate::StoreError;
use crate::error::one_line;

/// A parsed store URL.
#[derive(Debug, Clone)]
pub(crate) enum Target {
    /// `sqlite:PATH`.
    Sqlite(PathBuf),
    /// `postgres://…`.
    Postgres(Box<PgConnectOptions>),
}

/// # Errors
/// [`StoreError::Url`] in one line, without the password.
pub(crate) fn parse(url: &str) -> Result<Target, StoreError> {
    let wrong = |reason: String| StoreError::Url { url: redacted(url), reason };
    if let Some(path) = url.strip_prefix("sqlite:") {
        let path = path.strip_prefix("//").unwrap_or(path);
        if path.is_empty() || path.starts_with(":memory:") || path.contains('?') {
            return Err(wrong("expected sqlite:PATH with the path of a file".into()));
        }
        return Ok(Target::Sqlite(path.into()));
    }
    if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        return Err(wrong("expected sqlite:PATH or postgres://USER:PASSWORD@HOST/DATABASE".into()));
    }
    let options = PgConnectOptions::from_str(url).map_err(|error| wrong(one_line(&error.to_string())))?;
    if !is_local(&options) {
        if !matches!(options.get_ssl_mode(), PgSslMode::VerifyFull | PgSslMode::VerifyCa) {
            return Err(wrong("a database off loopback needs TLS: add ?sslmode=verify-full".into()));
        }
        if !has_credentials(url) {
            return Err(wrong(
                "a database off loopback needs credentials: a password or sslcert and sslkey".into(),
            ));
        }
    }
    Ok(Target::Postgres(Box::new(options)))
}

/// A unix socket or a loopback address.
fn is_local(options: &PgConnectOptions) -> bool {
    let host = options.get_host();
    options.get_socket().is_some()
        || host.starts_with('/')
        || host.eq_ignore_ascii_case("localhost")
        || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn has_credentials(url: &str) -> bool {
    let (_, password, _) = split(url);
    let has = |key: &str| {
        url.split_once('?').is_some_and(|(_, query)| {
            query.split('&').any(|pair| pair.split_once('=').is_some_and(|(k, v)| k == key && !v.is_empty()))
        })
    };
    password.is_some_and(|password| !password.is_empty())
        || has("password")
        || has("sslcert") && has("sslkey")
        || std::env::var_os("PGPASSWORD").is_some_and(|password| !password.is_empty())
}

/// The URL as it may be logged.
pub(crate) fn redacted(url: &str) -> String {
    let (before, password, after) = split(url);
    let text = match password {
        Some(_) => format!("{before}:***{after}"),
        None => url.to_owned(),
    };
    match text.split_once('?') {
        Some((base, query)) if query.contains("password") => format!("{base}?***"),
        _ => text,
    }
}

/// What stands before the password with its colon, the password, and the rest from the `@` on.
fn split(url: &str) -> (&str, Option<&str>, &str) {
    let none = (url, None, "");
    let Some(start) = url.find("://").map(|at| at + 3) else { return none };
    // A password may hold `/` or `@` unescaped by mistake: the last `@` before the query ends it.
    let query = url.find('?').unwrap_or(url.len());
    let Some(at) = url.get(start..query).and_then(|part| part.rfind('@')).map(|at| at + start) else {
        return none;
    };
    let Some(colon) = url.get(start..at).and_then(|part| part.find(':')).map(|colon| colon + start) else {
        return none;
    };
    match (url.get(..colon), url.get(colon + 1..at), url.get(at..)) {
        (Some(before), Some(password), Some(after)) => (before, Some(password), after),
        _ => none,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(url: &str) -> String {
        parse(url).unwrap_err().to_string()
    }

    #[test]
    fn sqlite_names_a_file() {
        assert!(matches!(parse("sqlite:a/b.db"), Ok(Target::Sqlite(path)) if path.as_os_str() == "a/b.db"));
        assert!(
            matches!(parse("sqlite:///a/b.db"), Ok(Target::Sqlite(path)) if path.as_os_str() == "/a/b.db")
        );
        for url in ["sqlite:", "sqlite::memory:", "sqlite:a.db?mode=ro", "mysql://a/b", ""] {
            assert!(parse(url).is_err(), "{url}");
        }
    }

    #[test]
    fn loopback_and_sockets_need_no_tls() {
        for url in ["postgres://a@127.0.0.1/x", "postgres://a@localhost:5433/x", "postgres://a@[::1]/x"] {
            assert!(parse(url).is_ok(), "{url}");
        }
        assert!(parse("postgres://a@%2Fvar%2Frun%2Fpostgresql/x").is_ok());
    }

    #[test]
    fn off_loopback_needs_tls_and_credentials() {
        assert!(reason("postgres://a:secret@db.example/x").contains("needs TLS"));
        assert!(reason("postgres://a:secret@10.0.0.1/x?sslmode=require").contains("verify-full"));
        assert!(reason("postgres://a@db.example/x?sslmode=verify-full").contains("credentials"));
        assert!(parse("postgres://a:secret@db.example/x?sslmode=verify-full").is_ok());
        // The address may also come by a query key.
        assert!(reason("postgres://a:secret@localhost/x?hostaddr=10.0.0.1").contains("needs TLS"));
    }

    #[test]
    fn a_password_is_never_shown() {
        for url in ["postgres://a:sec/r@t@db.example/x", "postgres://db.example/x?password=sec&a=r"] {
            let line = reason(url);
            assert!(!line.contains("sec") && !line.contains('\n'), "{line}");
        }
        assert_eq!(redacted("postgres://a:b@h/x"), "postgres://a:***@h/x");
        assert_eq!(redacted("postgres://a@h/x"), "postgres://a@h/x");
    }
}
