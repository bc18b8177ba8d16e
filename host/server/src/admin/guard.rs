//! Who may speak to the admin API: whoever may open the socket, or brings the token over TLS.

use axum::{
    extract::{Request, State},
    http::header,
    middleware::Next,
    response::{IntoResponse, Response},
};
use ring::digest;

use super::Ctx;
use crate::{
    config::SecretText,
    listen::http::Peer,
    login::{Kind, Problem},
};

pub(super) async fn admit(State(ctx): State<Ctx>, request: Request, next: Next) -> Response {
    let admitted = match request.extensions().get::<Peer>() {
        // The file's permissions have judged.
        Some(Peer::Local(_)) => true,
        Some(Peer::Network(_)) => {
            let brought = request.headers().get(header::AUTHORIZATION).and_then(|v| v.to_str().ok());
            is_token(ctx.admin.token.as_ref(), brought)
        }
        None => false,
    };
    if admitted {
        return next.run(request).await;
    }
    ::metrics::counter!("postern_refused_total", "reason" => "admin-token").increment(1);
    Problem::from(Kind::TokenDenied).into_response()
}

/// Compares digests: how long that takes tells nothing about the token.
fn is_token(token: Option<&SecretText>, header: Option<&str>) -> bool {
    let (Some(token), Some(brought)) = (token, header.and_then(|h| h.strip_prefix("Bearer "))) else {
        return false;
    };
    let digest = |text: &str| digest::digest(&digest::SHA256, text.as_bytes());
    let (ours, theirs) = (digest(token.reveal()), digest(brought));
    let differing = ours.as_ref().iter().zip(theirs.as_ref()).fold(0, |sum, (a, b)| sum | (a ^ b));
    std::hint::black_box(differing) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_token_admits() {
        let token = SecretText::new("abcdefghijklmnopqrstuv".to_owned());
        assert!(is_token(Some(&token), Some("Bearer abcdefghijklmnopqrstuv")));
        for wrong in [None, Some(""), Some("Bearer "), Some("Bearer abc"), Some("abcdefghijklmnopqrstuv")] {
            assert!(!is_token(Some(&token), wrong));
        }
        assert!(!is_token(None, Some("Bearer abcdefghijklmnopqrstuv")));
    }
}
