//! Who is it? Credentials → the token role → a grant (A8, A9; rule 1 of SECURITY.md).

use postern_broker::wire::{Auth, Connect, ReasonCode, Text};
use postern_guest::{
    CallError,
    roles::{
        token::{
            Attempt, AuthAnswer, AuthData, Credential, Denial, Grant, NameAndPassword, Outcome, TokenError,
        },
        types::{Link, Transport},
    },
};

use super::live::Moment;
use crate::{
    clock,
    listen::wire::{ListenerName, Origin},
    node::Node,
    refuse::Refusal,
};

/// Rounds of challenge and answer before a peer is refused.
const ROUNDS: usize = 4;

/// An identified client: only [`identify`] and a re-authentication make one.
pub struct Identified {
    /// What the token role granted.
    pub grant: Grant,
    /// The method of an AUTH exchange, for the CONNACK and later re-authentication.
    pub method: Option<Text>,
    /// When the credentials were brought: a revocation since then may concern them.
    pub since: Moment,
}

impl Identified {
    /// What revocations know the sign-in by: the login that its token came of, and the token.
    pub fn names(&self) -> impl Iterator<Item = String> {
        [&self.grant.family, &self.grant.token_id].into_iter().flatten().cloned()
    }
}

/// The other end of an AUTH exchange.
pub trait Challenged {
    /// Sends the challenge and waits for the client's AUTH.
    fn challenge(&mut self, auth: Auth) -> impl Future<Output = Result<Auth, Refusal>> + Send;
}

/// The facts about a link that proofs are bound to.
pub fn link_facts(origin: &Origin) -> Link {
    Link {
        transport: transport(origin.listener),
        listener: origin.listener.as_str().to_owned(),
        address: origin.peer.ip().to_string(),
    }
}

/// The transport of a listener as plugins know it.
pub fn transport(listener: ListenerName) -> Transport {
    if listener.is_tls() { Transport::Tls } else { Transport::Plain }
}

/// Judges a CONNECT's credentials, with as many rounds of AUTH as the method takes.
///
/// # Errors
/// What the peer is told: bad credentials, a bad method, or that sign-in is unavailable (C6: the
/// token role fails closed).
pub async fn identify<P: Challenged>(
    node: &Node,
    connect: &Connect,
    client_id: &str,
    origin: &Origin,
    peer: &mut P,
) -> Result<Identified, Refusal> {
    let since = node.live.moment();
    let Some(method) = connect.auth_method.clone() else {
        let credential = match (&connect.user_name, &connect.password) {
            (None, None) => Credential::Anonymous,
            (user_name, password) => Credential::Password(NameAndPassword {
                user_name: user_name.as_deref().unwrap_or_default().to_owned(),
                password: password.as_deref().unwrap_or_default().to_vec(),
            }),
        };
        return match verify(node, client_id, credential, origin).await? {
            Outcome::Granted(grant) => Ok(Identified { grant, method: None, since }),
            Outcome::Challenge(_) => Err(Refusal::BadMethod),
        };
    };
    let start = connect.auth_data.as_deref().unwrap_or_default().to_vec();
    exchange(node, client_id, origin, method, start, peer).await
}

/// The AUTH exchange, at CONNECT and at re-authentication alike.
///
/// # Errors
/// As [`identify`].
pub async fn exchange<P: Challenged>(
    node: &Node,
    client_id: &str,
    origin: &Origin,
    method: Text,
    start: Vec<u8>,
    peer: &mut P,
) -> Result<Identified, Refusal> {
    let since = node.live.moment();
    let mut credential = Credential::AuthStart(AuthData { method: method.to_string(), data: start.clone() });
    for _ in 0..ROUNDS {
        let challenge = match verify(node, client_id, credential, origin).await? {
            Outcome::Granted(grant) => return Ok(Identified { grant, method: Some(method), since }),
            Outcome::Challenge(challenge) => challenge,
        };
        let ask = Auth {
            reason: ReasonCode::ContinueAuthentication,
            method: Some(method.clone()),
            data: Some(challenge.clone().into()),
            ..Auth::default()
        };
        let answer = peer.challenge(ask).await?;
        if answer.reason != ReasonCode::ContinueAuthentication || answer.method.as_ref() != Some(&method) {
            return Err(Refusal::Packet(ReasonCode::ProtocolError, "AUTH does not continue the exchange"));
        }
        credential = Credential::AuthAnswer(AuthAnswer {
            method: method.to_string(),
            challenge,
            start: start.clone(),
            data: answer.data.as_deref().unwrap_or_default().to_vec(),
        });
    }
    Err(Refusal::BadCredentials("too many rounds"))
}

async fn verify(
    node: &Node,
    client_id: &str,
    credential: Credential,
    origin: &Origin,
) -> Result<Outcome, Refusal> {
    let attempt = Attempt {
        client_id: client_id.to_owned(),
        credential,
        link: link_facts(origin),
        now: clock::now().0,
    };
    node.slots.token().verify(attempt).await.map_err(|e| match e {
        CallError::Answer(TokenError::Denied(Denial::BadMethod)) => Refusal::BadMethod,
        CallError::Answer(TokenError::Denied(why)) => {
            let why = label(why);
            metrics::counter!("postern_sign_in_denied_total", "why" => why).increment(1);
            Refusal::BadCredentials(why)
        }
        CallError::Answer(TokenError::Unavailable(why)) => Refusal::Unavailable("sign-in", why),
        CallError::Down(down) => Refusal::Unavailable("sign-in", down.to_string()),
    })
}

/// For the log and the metrics; the peer is told only that it was refused.
fn label(why: Denial) -> &'static str {
    match why {
        Denial::BadCredentials => "bad-credentials",
        Denial::Expired => "expired",
        Denial::Replayed => "replayed",
        Denial::Misplaced => "misplaced",
        Denial::Anonymous => "anonymous",
        Denial::BadMethod => "bad-method",
    }
}
