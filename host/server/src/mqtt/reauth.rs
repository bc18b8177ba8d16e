//! AUTH on a live link: signing in again without a reconnect (MQTT 5, section 4.12.1).

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use postern_broker::wire::{Auth, Packet, ReasonCode, Text};
use tokio::sync::mpsc;
use tracing::info;

use super::{
    auth::{Challenged, Identified, exchange},
    link::Pump,
    publish::Sender,
};
use crate::refuse::Refusal;

/// A re-authentication under way; the link goes on meanwhile.
pub struct Reauth {
    work: Pin<Box<dyn Future<Output = Result<Identified, Refusal>> + Send>>,
    from_peer: mpsc::Sender<Auth>,
    to_peer: mpsc::Receiver<Auth>,
}

struct Peer {
    to_peer: mpsc::Sender<Auth>,
    from_peer: mpsc::Receiver<Auth>,
}

impl Challenged for Peer {
    async fn challenge(&mut self, auth: Auth) -> Result<Auth, Refusal> {
        let gone = Refusal::Closed(ReasonCode::UnspecifiedError);
        if self.to_peer.send(auth).await.is_err() {
            return Err(gone);
        }
        self.from_peer.recv().await.ok_or(gone)
    }
}

impl Pump {
    /// AUTH from the client: begins a re-authentication or answers our challenge.
    pub(super) fn auth(&mut self, auth: Auth) {
        let protocol_error = |what| Refusal::Packet(ReasonCode::ProtocolError, what);
        let Some(method) = self.method.as_deref().cloned() else {
            return self.refuse(protocol_error("AUTH without an authentication method"));
        };
        if auth.method.as_ref() != Some(&method) {
            // [MQTT-4.12.1-1]: the method is that of the CONNECT.
            return self.refuse(protocol_error("AUTH with another method"));
        }
        match (auth.reason, &self.reauth) {
            (ReasonCode::ReAuthenticate, None) => {
                let (from_peer, answers) = mpsc::channel(1);
                let (challenges, to_peer) = mpsc::channel(1);
                let (node, origin) = (self.node.clone(), self.origin);
                let client_id = self.sender.key.client_id.clone();
                let start = auth.data.as_deref().unwrap_or_default().to_vec();
                let work = Box::pin(async move {
                    let mut peer = Peer { to_peer: challenges, from_peer: answers };
                    exchange(&node, &client_id, &origin, method, start, &mut peer).await
                });
                self.reauth = Some(Box::new(Reauth { work, from_peer, to_peer }));
            }
            (ReasonCode::ContinueAuthentication, Some(running)) => {
                if running.from_peer.try_send(auth).is_err() {
                    self.refuse(protocol_error("AUTH out of turn"));
                }
            }
            _ => self.refuse(protocol_error("AUTH out of turn")),
        }
    }

    /// Goes on with a re-authentication.
    pub(super) fn poll_reauth(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(reauth) = &mut self.reauth else { return false };
        let polled = reauth.work.as_mut().poll(cx);
        let mut moved = false;
        while let Poll::Ready(Some(auth)) = reauth.to_peer.poll_recv(cx) {
            self.link.send(Packet::Auth(auth));
            moved = true;
        }
        let Poll::Ready(outcome) = polled else { return moved };
        self.reauth = None;
        match outcome.and_then(|identified| self.take_grant(identified)) {
            Ok(method) => self.link.send(Packet::Auth(Auth {
                reason: ReasonCode::Success,
                method: Some(method),
                ..Auth::default()
            })),
            // [MQTT-4.12.1-2]: a failed re-authentication ends the link.
            Err(refusal) => self.refuse(refusal),
        }
        true
    }

    /// The link goes on under a new grant of the same user and device: what it may not do any more
    /// ends, and presence and stored messages start or stop.
    fn take_grant(&mut self, identified: Identified) -> Result<Text, Refusal> {
        let names: Vec<String> = identified.names().collect();
        let Identified { grant, method, since } = identified;
        let profile: Option<crate::control::wire::Profile> = grant.profile.map(Into::into);
        let same_user = profile.as_ref().map(|p| &p.user) == self.sender.profile.as_ref().map(|p| &p.user);
        if !same_user || grant.client_id != *self.sender.key.client_id {
            return Err(Refusal::BadCredentials("another user or device"));
        }
        let rights = self
            .node
            .rights
            .compile(&grant.rights)
            .map_err(|e| Refusal::Unavailable("sign-in", format!("the token role's grant: {e}")))?;
        let signed_in = self.node.live.sign_in(names, &self.sender.key, grant.expires_at, since);
        let signed_in = signed_in.map_err(|_| Refusal::BadCredentials("revoked"))?;
        if let Some(former) = &self.signed_in {
            former.detach();
        }
        signed_in.attach(&self.link, &self.node.broker);
        let partners = grant.partners.into_iter().map(Into::into).collect();
        let transport = self.sender.transport;
        let sender = Sender::new(self.sender.key.clone(), profile, partners, rights, transport);
        self.sender = Arc::new(sender.over(self.sender.socket).signed_in(&signed_in));
        self.signed_in = Some(signed_in);
        self.withdraw_forbidden();
        self.welcome();
        info!(peer = %self.origin.peer, "signed in again");
        Ok(method.unwrap_or_default())
    }
}
