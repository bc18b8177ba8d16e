//! Who asks: `Authorization: Bearer <token id>:<bearer>`, judged by the dynamic group (A4, A7).

use axum::{
    extract::FromRequestParts,
    http::{header, request::Parts},
};

use super::{Ctx, Kind, Problem};
use crate::{
    control::{
        ask::ask,
        wire::{CheckBearer, Denied, Holder},
    },
    listen::http::Peer,
};

/// The longest header that is looked at.
const MAX_BEARER: usize = 512;

/// What an `Authorization` header says, not judged yet: for requests that the dynamic group judges with
/// the rest of the question.
pub(super) struct Unjudged(pub CheckBearer);

impl FromRequestParts<Ctx> for Unjudged {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Ctx) -> Result<Self, Problem> {
        let Some(bearer) = bearer(parts) else { return Err(Kind::TokenDenied.into()) };
        Ok(Unjudged(CheckBearer { bearer: bearer.to_owned(), address: address(parts) }))
    }
}

/// The holder of a token that is good.
pub(super) struct Bearer(pub Holder);

impl FromRequestParts<Ctx> for Bearer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, ctx: &Ctx) -> Result<Self, Problem> {
        let Unjudged(question) = Unjudged::from_request_parts(parts, ctx).await?;
        match ask(&ctx.bus, &question).await {
            Ok(holder) => Ok(Bearer(holder)),
            Err(Denied::Denied | Denied::Invalid { .. }) => Err(Kind::TokenDenied.into()),
            Err(other) => Err(other.into()),
        }
    }
}

fn bearer(parts: &Parts) -> Option<&str> {
    let (scheme, bearer) = parts.headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let bearer = bearer.trim();
    let fits = scheme.eq_ignore_ascii_case("bearer") && bearer.len() <= MAX_BEARER && bearer.contains(':');
    fits.then_some(bearer)
}

fn address(parts: &Parts) -> String {
    match parts.extensions.get::<Peer>() {
        Some(Peer::Network(peer)) => peer.ip().to_canonical().to_string(),
        _ => String::new(),
    }
}
