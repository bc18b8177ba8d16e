//! What a request brings, or the problem with it.

use std::time::Duration;

use axum::{
    Json,
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Query, Request},
    http::{StatusCode, header, request::Parts},
};
use serde::de::DeserializeOwned;
use zeroize::Zeroize;

use super::{Kind, Problem};

/// How long the body of a request may take: those that are asked for here are small.
const BODY_PATIENCE: Duration = Duration::from_secs(5);

/// A JSON body; its bytes are wiped once read, for they may hold a password.
pub struct Body<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let kind =
            request.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        if !kind.eq_ignore_ascii_case("application/json") {
            return Err(Kind::WrongMediaType.into());
        }
        let read = tokio::time::timeout(BODY_PATIENCE, Bytes::from_request(request, state)).await;
        let late = |_| Problem::detailed(Kind::Invalid, "the body did not arrive in time");
        let bytes = read.map_err(late)?.map_err(|e| match e.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Kind::TooLarge.into(),
            _ => Problem::detailed(Kind::Invalid, "the body did not arrive whole"),
        })?;
        let parsed = Json::<T>::from_bytes(&bytes);
        // Succeeds when nobody else holds the buffer; the one of the socket is hyper's.
        if let Ok(mut bytes) = bytes.try_into_mut() {
            bytes.as_mut().zeroize();
        }
        match parsed {
            Ok(Json(body)) => Ok(Body(body)),
            // Where it is wrong, never what stands there.
            Err(_) => Err(Problem::detailed(Kind::Invalid, "the body is not the JSON that is expected here")),
        }
    }
}

/// The query string.
pub(super) struct Params<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Query::<T>::from_request_parts(parts, state).await {
            Ok(Query(query)) => Ok(Params(query)),
            Err(e) => Err(Problem::detailed(Kind::Invalid, e.body_text())),
        }
    }
}
