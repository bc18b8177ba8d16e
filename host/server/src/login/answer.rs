//! What a client gets after a login or a renewal.

use axum::http::{HeaderMap, Uri, header, uri::Authority};
use serde::Serialize;

use crate::control::wire::{BrokerAddress, DirectoryPage, InstructionKey, IssuedToken, Profile, TokenParts};

/// After a login (A6, A7, A13).
#[derive(Serialize)]
pub(super) struct LoggedIn {
    pub user: String,
    pub profile: Profile,
    /// First page of the people whom the user may see.
    pub directory: DirectoryPage,
    #[serde(flatten)]
    pub token: TokenAnswer,
}

/// A new token and where to use it.
#[derive(Serialize)]
pub(super) struct TokenAnswer {
    /// Milliseconds since 1970: the client's proofs are dated by this clock (rule 1).
    pub server_time: u64,
    pub token: TokenParts,
    pub brokers: Vec<BrokerAddress>,
    /// What terminals check instructions to reconnect with (rule 4).
    pub instruction_keys: Vec<InstructionKey>,
}

impl TokenAnswer {
    /// Listeners that name no host get the one that the client has just spoken to.
    pub fn new(issued: IssuedToken, spoken_to: &str, now_ms: u64) -> Self {
        let mut issued = issued;
        let mut brokers = std::mem::take(&mut issued.brokers);
        for broker in brokers.iter_mut().filter(|b| b.host.is_empty()) {
            spoken_to.clone_into(&mut broker.host);
        }
        let IssuedToken { token, instruction_keys, .. } = issued;
        TokenAnswer { server_time: now_ms, token, brokers, instruction_keys }
    }
}

/// The host by which a client called us, without port; empty when it did not say.
pub(super) fn spoken_to(uri: &Uri, headers: &HeaderMap) -> String {
    let by_header = || headers.get(header::HOST)?.to_str().ok()?.parse::<Authority>().ok();
    let authority = uri.authority().cloned().or_else(by_header);
    let host = authority.as_ref().map(Authority::host).unwrap_or_default();
    host.trim_start_matches('[').trim_end_matches(']').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_the_one_the_client_spoke_to() {
        let mut headers = HeaderMap::new();
        let uri = Uri::from_static("/v1/login");
        assert_eq!(spoken_to(&uri, &headers), "");
        for (header, host) in
            [("push.example.com:8443", "push.example.com"), ("[::1]:8443", "::1"), ("h", "h")]
        {
            headers.insert(header::HOST, header.parse().unwrap());
            assert_eq!(spoken_to(&uri, &headers), host);
        }
        assert_eq!(
            spoken_to(&Uri::from_static("https://h2.example.com/v1/login"), &headers),
            "h2.example.com"
        );
    }
}
