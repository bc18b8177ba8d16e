//! Any error → the problem document that an HTTP client is told (RFC 9457). The only mapping.

use std::fmt;

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};

use crate::control::wire::Denied;

/// What went wrong, in words that a program can rely on. The kinds are stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the titles say it
pub enum Kind {
    Invalid,
    LoginDenied,
    TokenDenied,
    Forbidden,
    NotFound,
    WrongMethod,
    WrongServer,
    Conflict,
    TooLarge,
    WrongMediaType,
    TooMany,
    Refused,
    Internal,
    Unavailable,
    Timeout,
}

impl Kind {
    /// All of them, for the description of the API.
    pub const ALL: [Kind; 15] = [
        Kind::Invalid,
        Kind::LoginDenied,
        Kind::TokenDenied,
        Kind::Forbidden,
        Kind::NotFound,
        Kind::WrongMethod,
        Kind::WrongServer,
        Kind::Conflict,
        Kind::TooLarge,
        Kind::WrongMediaType,
        Kind::TooMany,
        Kind::Refused,
        Kind::Internal,
        Kind::Unavailable,
        Kind::Timeout,
    ];

    /// Last part of `type`, status and `title`.
    pub const fn parts(self) -> (&'static str, StatusCode, &'static str) {
        match self {
            Kind::Invalid => ("invalid", StatusCode::BAD_REQUEST, "The request is wrong"),
            Kind::LoginDenied => ("login-denied", StatusCode::UNAUTHORIZED, "Login refused"),
            Kind::TokenDenied => ("token-denied", StatusCode::UNAUTHORIZED, "No valid token"),
            Kind::Forbidden => ("forbidden", StatusCode::FORBIDDEN, "The token has no right to this"),
            Kind::NotFound => ("not-found", StatusCode::NOT_FOUND, "There is nothing here"),
            Kind::WrongMethod => ("wrong-method", StatusCode::METHOD_NOT_ALLOWED, "Not by this method"),
            Kind::WrongServer => {
                ("wrong-server", StatusCode::MISDIRECTED_REQUEST, "This server takes no logins")
            }
            Kind::Conflict => ("conflict", StatusCode::CONFLICT, "Not possible as things are"),
            Kind::TooLarge => ("too-large", StatusCode::PAYLOAD_TOO_LARGE, "The body is too large"),
            Kind::WrongMediaType => {
                ("wrong-media-type", StatusCode::UNSUPPORTED_MEDIA_TYPE, "The body is not JSON")
            }
            Kind::TooMany => {
                ("too-many", StatusCode::TOO_MANY_REQUESTS, "Too many attempts, come again later")
            }
            Kind::Refused => ("refused", StatusCode::UNPROCESSABLE_ENTITY, "Checked and refused"),
            Kind::Internal => ("internal", StatusCode::INTERNAL_SERVER_ERROR, "The server failed"),
            Kind::Unavailable => ("unavailable", StatusCode::SERVICE_UNAVAILABLE, "Temporarily unavailable"),
            Kind::Timeout => ("timeout", StatusCode::GATEWAY_TIMEOUT, "Not answered in time"),
        }
    }
}

/// A problem document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// `urn:postern:problem:` and the kind; stable.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind in words; stable.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// What is wrong this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Seconds until it makes sense to come again; also the header `Retry-After`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_secs: Option<u32>,
    /// What the log knows the request by; also the header `X-Request-Id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

impl From<Kind> for Problem {
    fn from(kind: Kind) -> Self {
        let (name, status, title) = kind.parts();
        Problem {
            kind: format!("urn:postern:problem:{name}"),
            title: title.to_owned(),
            status: status.as_u16(),
            detail: None,
            retry_after_secs: None,
            request_id: None,
        }
    }
}

impl Problem {
    /// With what is wrong this time. Never an inner text of a plugin or a library (rule 9).
    pub fn detailed(kind: Kind, detail: impl fmt::Display) -> Self {
        Problem { detail: Some(detail.to_string()), ..kind.into() }
    }

    /// Too many: come again after `secs` seconds.
    pub fn too_many(secs: u32) -> Self {
        Problem { retry_after_secs: Some(secs.max(1)), ..Kind::TooMany.into() }
    }
}

/// What the other group refused, asked with a token that was good.
impl From<Denied> for Problem {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Denied => Kind::Forbidden.into(),
            Denied::Invalid { detail } => Problem::detailed(Kind::Invalid, detail),
            Denied::RetryAfter { secs } => Problem::too_many(secs),
            Denied::Unavailable { detail } => {
                // The cause is for the log.
                tracing::warn!(detail, "unavailable");
                Kind::Unavailable.into()
            }
        }
    }
}

/// The command line shows the server's words.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.detail {
            Some(detail) => f.write_str(detail),
            None => f.write_str(&self.title),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(mut self) -> Response {
        self.request_id = postern_trace::ids().map(|id| id.to_string());
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(secs) = self.retry_after_secs {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(secs));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"postern\""));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_distinct_and_errors() {
        for (i, kind) in Kind::ALL.iter().enumerate() {
            let (name, status, title) = kind.parts();
            assert!(status.is_client_error() || status.is_server_error());
            for other in &Kind::ALL[i + 1..] {
                assert!(other.parts().0 != name && other.parts().2 != title);
            }
        }
    }

    #[test]
    fn a_problem_says_what_the_standard_asks() {
        let response = Problem::too_many(7).into_response();
        assert_eq!(response.status(), 429);
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        assert_eq!(response.headers()["retry-after"], "7");
        let response = Problem::from(Kind::LoginDenied).into_response();
        assert_eq!(response.status(), 401);
        assert!(response.headers().contains_key("www-authenticate"));
    }

    #[test]
    fn inner_causes_are_not_told() {
        let denied = Denied::Unavailable { detail: "password=hunter2 at 10.0.0.1".to_owned() };
        let problem = Problem::from(denied);
        assert_eq!(problem.status, 503);
        assert_eq!(problem.detail, None);
        assert_eq!(Problem::from(Denied::Denied).status, 403);
        assert_eq!(Problem::from(Denied::RetryAfter { secs: 3 }).retry_after_secs, Some(3));
        assert_eq!(Problem::from(Denied::Invalid { detail: "x".into() }).detail.as_deref(), Some("x"));
    }
}
