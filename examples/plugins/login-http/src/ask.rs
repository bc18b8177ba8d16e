//! What is asked of the endpoint.

use serde_json::json;

use crate::bindings::{
    exports::postern::login::verify::Attempt,
    postern::host::http::{Field, Method, Request},
};

/// What the policy file sets.
#[derive(Debug)]
pub struct Settings {
    /// One of the policy's `http_hosts`.
    pub host: String,
    /// The path below which the endpoint lives.
    pub base: Vec<String>,
    /// What the header `Authorization` says, so that the endpoint knows who asks.
    pub authorization: Option<String>,
}

impl Settings {
    /// A question about the directory.
    pub fn get(&self, path: &[&str], query: &[(&str, &str)]) -> Request {
        let query = query.iter().map(|&(name, value)| field(name, value)).collect();
        Request { query, ..self.request(Method::Get, path) }
    }

    /// A login. The host adds the password to the body.
    pub fn login(&self, attempt: &Attempt) -> Request {
        let body = json!({
            "user": attempt.user, "client_id": attempt.client_id, "address": attempt.address,
        });
        let mut request = self.request(Method::Post, &["login"]);
        request.headers.push(field("content-type", "application/json"));
        request.body = body.to_string().into_bytes();
        request
    }

    fn request(&self, method: Method, path: &[&str]) -> Request {
        let mut headers = vec![field("accept", "application/json")];
        headers.extend(self.authorization.as_deref().map(|value| field("authorization", value)));
        Request {
            method,
            host: self.host.clone(),
            path: self
                .base
                .iter()
                .map(String::as_str)
                .chain(path.iter().copied())
                .map(str::to_owned)
                .collect(),
            query: Vec::new(),
            headers,
            body: Vec::new(),
            timeout_ms: None,
        }
    }
}

fn field(name: &str, value: &str) -> Field {
    Field { name: name.to_owned(), value: value.to_owned() }
}

/// Whether this can be a user id: 1 to 64 of `A-Z a-z 0-9 . _ -`.
#[must_use]
pub fn is_id(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_go_below_the_base_and_say_who_asks() {
        let settings = Settings {
            host: "hr.example:8443".into(),
            base: vec!["v1".into()],
            authorization: Some("Bearer x".into()),
        };
        let request = settings.get(&["users", "alice"], &[("limit", "3")]);
        assert_eq!(
            (request.host.as_str(), request.path.join("/")),
            ("hr.example:8443", "v1/users/alice".into())
        );
        assert_eq!(request.query[0].value, "3");
        assert!(request.headers.iter().any(|f| f.name == "authorization" && f.value == "Bearer x"));
        let attempt = Attempt {
            user: "al\"ice".into(),
            client_id: "phone".into(),
            address: "192.0.2.1".into(),
            now: 0,
        };
        let body: serde_json::Value = serde_json::from_slice(&settings.login(&attempt).body).unwrap();
        assert_eq!(body, json!({"user": "al\"ice", "client_id": "phone", "address": "192.0.2.1"}));
    }

    #[test]
    fn ids_are_told_from_other_texts() {
        assert!(is_id("A.b_c-9") && is_id(&"x".repeat(64)));
        assert!(!is_id("") && !is_id("a/b") && !is_id("ä") && !is_id(&"x".repeat(65)));
    }
}
