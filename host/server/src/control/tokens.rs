//! The dynamic group's answers about tokens (A7): issue, check, renew, revoke.

use std::{collections::HashSet, sync::Arc};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use postern_bus::BusError;
use postern_guest::{
    CallError,
    roles::{
        token::{self, Attempt, Credential, Device, Issued, Outcome, Selector, TokenError},
        types::{Link, Transport},
    },
};
use serde::Serialize;
use tracing::{info, warn};

use super::{
    ask::{answer, ask},
    topics::is_id,
    wire::{
        BrokerAddress, CheckBearer, Denied, FindHolder, Holder, IssueToken, IssuedToken, PersonAndPartners,
        RenewToken, Renewed, RevokeTokens, Revoked, TokenParts,
    },
};
use crate::{clock, mqtt::rights::Rights, node::Node, tasks::Background};

/// Times that a token role is asked for more tokens to revoke. One that never finds an end is wrong.
const ROUNDS: usize = 10_000;

/// What the answers need.
#[derive(Clone)]
pub struct Tokens {
    /// This node: its token role, its links, its way to the other nodes.
    pub node: Arc<Node>,
    /// Where this node's MQTT listeners are.
    pub brokers: Arc<Vec<BrokerAddress>>,
}

impl Tokens {
    /// Answers on the bus until it closes.
    ///
    /// # Errors
    /// When the bus takes no subscription.
    pub async fn serve(self, tasks: &Background) -> Result<(), BusError> {
        let (issue, check, renew, revoke) = (self.clone(), self.clone(), self.clone(), self.clone());
        let bus = &self.node.bus;
        answer::<IssueToken, _, _>(bus, tasks, move |q| {
            let this = issue.clone();
            async move { this.issue(q).await }
        })
        .await?;
        answer::<CheckBearer, _, _>(bus, tasks, move |q| {
            let this = check.clone();
            async move { this.check(q).await }
        })
        .await?;
        answer::<RenewToken, _, _>(bus, tasks, move |q| {
            let this = renew.clone();
            async move { this.renew(q).await }
        })
        .await?;
        answer::<RevokeTokens, _, _>(bus, tasks, move |q| {
            let this = revoke.clone();
            async move { this.revoke(q).await }
        })
        .await
    }

    async fn issue(&self, question: IssueToken) -> Result<IssuedToken, Denied> {
        let holder = token::Holder {
            profile: question.profile.into(),
            partners: question.partners.into_iter().map(Into::into).collect(),
            client_id: question.client_id,
        };
        let issued =
            self.node.slots.token().issue(holder, clock::now().0).await.map_err(denied).and_then(usable)?;
        metrics::counter!("postern_tokens_issued_total").increment(1);
        Ok(self.with_addresses(&issued))
    }

    async fn check(&self, question: CheckBearer) -> Result<Holder, Denied> {
        self.holder(question).await.map(|(holder, _)| holder)
    }

    /// Who holds this bearer, and what the holder may do on TLS.
    ///
    /// # Errors
    /// `Denied` when nobody does, or `Unavailable`.
    pub async fn holder(&self, question: CheckBearer) -> Result<(Holder, Arc<Rights>), Denied> {
        // HTTP requests come in through TLS alone; the listener is the application's own.
        let attempt = Attempt {
            client_id: String::new(),
            credential: Credential::Bearer(question.bearer),
            link: Link { transport: Transport::Tls, listener: "http".to_owned(), address: question.address },
            now: clock::now().0,
        };
        match self.node.slots.token().verify(attempt).await.map_err(denied)? {
            Outcome::Granted(grant) => {
                let (Some(token_id), Some(profile)) = (grant.token_id, grant.profile) else {
                    return Err(Denied::Denied);
                };
                let rights = self.node.rights.compile(&grant.rights);
                let rights = rights.map_err(|e| Denied::Unavailable { detail: e.to_string() })?;
                let holder = Holder {
                    token_id,
                    client_id: grant.client_id,
                    profile: profile.into(),
                    messaging: grant.rights.messaging,
                    expires_at: grant.expires_at,
                };
                Ok((holder, rights))
            }
            Outcome::Challenge(_) => Err(Denied::Denied),
        }
    }

    async fn renew(&self, question: RenewToken) -> Result<IssuedToken, Denied> {
        // What was true at the login may not be any more; and whoever is kept out gets nothing new.
        let current = ask(&self.node.bus, &FindHolder { user: question.user }).await?;
        let PersonAndPartners { profile, partners } = current.ok_or(Denied::Denied)?;
        let holder = token::Holder {
            profile: profile.into(),
            partners: partners.into_iter().map(Into::into).collect(),
            client_id: question.client_id,
        };
        let issued = self
            .node
            .slots
            .token()
            .renew(&question.token_id, holder, clock::now().0)
            .await
            .map_err(denied)
            .and_then(usable)?;
        let renewed =
            Renewed { old: question.token_id, new: issued.token_id.clone(), expires_at: issued.expires_at };
        self.tell(Renewed::SUBJECT, &renewed).await?;
        metrics::counter!("postern_tokens_renewed_total").increment(1);
        Ok(self.with_addresses(&issued))
    }

    async fn revoke(&self, question: RevokeTokens) -> Result<Revoked, Denied> {
        // The links first, here and on all nodes: they end whatever the plugin makes of the tokens.
        self.node.live.end(&question, &self.node.broker);
        let told = self.tell(RevokeTokens::ENDING, &question).await;
        let selector = match question {
            RevokeTokens::Token { id } => Selector::Token(id),
            RevokeTokens::User { user } => Selector::User(user),
            RevokeTokens::Device { user, client_id } => Selector::Device(Device { user, client_id }),
        };
        // The plugin takes as many as one call may, so it is asked until it finds none.
        let (mut revoked, mut known) = (Revoked { tokens: Vec::new() }, HashSet::new());
        for _ in 0..ROUNDS {
            let page = self.node.slots.token().revoke(selector.clone(), clock::now().0);
            let tokens = page.await.map_err(denied)?;
            if tokens.is_empty() {
                info!(count = revoked.tokens.len(), "tokens revoked");
                return told.map(|()| revoked);
            }
            // A login is named with each page of its tokens.
            let tokens: Vec<String> = tokens.into_iter().filter(|id| known.insert(id.clone())).collect();
            metrics::counter!("postern_tokens_revoked_total").increment(tokens.len() as u64);
            let page = Revoked { tokens };
            self.tell(Revoked::SUBJECT, &page).await?;
            revoked.tokens.extend(page.tokens);
        }
        Err(Denied::Unavailable { detail: "role token: always finds more tokens to revoke".to_owned() })
    }

    async fn tell<T: Serialize>(&self, subject: &str, what: &T) -> Result<(), Denied> {
        let unavailable = |detail: String| Denied::Unavailable { detail };
        let body = serde_json::to_vec(what).map_err(|e| unavailable(e.to_string()))?;
        self.node.bus.publish(subject, body.into()).await.map_err(|e| unavailable(e.to_string()))
    }

    fn with_addresses(&self, issued: &Issued) -> IssuedToken {
        IssuedToken {
            token: TokenParts {
                id: issued.token_id.clone(),
                key: URL_SAFE_NO_PAD.encode(issued.key.expose()),
                bearer: issued.bearer.clone(),
                counter: issued.counter,
                expires_at: issued.expires_at,
            },
            brokers: self.brokers.to_vec(),
            instruction_keys: self.node.commands.signer.announced().to_vec(),
        }
    }
}

/// A token that a client can name in a CONNECT; anything else is a fault of the plugin, and refused as one.
fn usable(issued: Issued) -> Result<Issued, Denied> {
    if is_id(&issued.token_id) {
        return Ok(issued);
    }
    warn!("the token role issued a token whose id is none");
    Err(Denied::Unavailable { detail: "role token: not a token id".to_owned() })
}

/// The token role's refusals as the bus carries them: why stays in the log.
fn denied(e: CallError<TokenError>) -> Denied {
    match e {
        CallError::Answer(TokenError::Denied(_)) => Denied::Denied,
        CallError::Answer(TokenError::Unavailable(detail)) => Denied::Unavailable { detail },
        CallError::Down(down) => {
            warn!(%down, "token role");
            Denied::Unavailable { detail: format!("role token: {down}") }
        }
    }
}
