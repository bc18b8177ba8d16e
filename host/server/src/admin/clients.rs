//! `postern client …`.

use axum::{Extension, Json, extract::State};
use postern_broker::{Broker, SessionInfo, SessionKey, wire::ReasonCode};

use super::{
    Ctx,
    acts::act,
    wire::{ClientKey, ClientView},
};
use crate::{
    listen::http::Peer,
    login::{Body, Kind, Problem},
};

fn broker(ctx: &Ctx) -> Result<&Broker, Problem> {
    let none = || Problem::detailed(Kind::Conflict, "this node takes no MQTT clients");
    ctx.admin.broker.as_deref().ok_or_else(none)
}

fn view(info: &SessionInfo) -> ClientView {
    ClientView {
        client_id: info.key.client_id.to_string(),
        user: info.key.owner.as_ref().map(ToString::to_string),
        connected: info.connected,
        subscriptions: info.subscriptions as u64,
        queued: info.queued_messages as u64,
        inflight: info.inflight as u64,
        terminal: None,
    }
}

/// The one session that is meant.
fn find(broker: &Broker, which: &ClientKey) -> Result<SessionInfo, Problem> {
    let is_meant = |key: &SessionKey| {
        let of_user = |user: &String| key.owner.as_ref().is_some_and(|owner| **owner == **user);
        *key.client_id == *which.client_id && which.user.as_ref().is_none_or(of_user)
    };
    let mut found = broker.sessions().into_iter().filter(|s| is_meant(&s.key));
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one),
        (None, _) => Err(Problem::detailed(Kind::NotFound, format!("no session {:?}", which.client_id))),
        (Some(_), Some(_)) => {
            let detail = format!("several users have a device {:?}: give --user", which.client_id);
            Err(Problem::detailed(Kind::Conflict, detail))
        }
    }
}

pub(super) async fn list(State(ctx): State<Ctx>) -> Result<Json<Vec<ClientView>>, Problem> {
    let mut clients: Vec<ClientView> = broker(&ctx)?.sessions().iter().map(view).collect();
    clients.sort_by(|a, b| (&a.user, &a.client_id).cmp(&(&b.user, &b.client_id)));
    Ok(Json(clients))
}

pub(super) async fn show(
    State(ctx): State<Ctx>,
    Body(which): Body<ClientKey>,
) -> Result<Json<ClientView>, Problem> {
    let mut client = view(&find(broker(&ctx)?, &which)?);
    if let (Some(user), Some(commands)) = (&client.user, &ctx.admin.terminals) {
        let account = commands.account(user).await;
        client.terminal = account.map_err(|e| Problem::detailed(Kind::Unavailable, e))?;
    }
    Ok(Json(client))
}

pub(super) async fn kick(
    State(ctx): State<Ctx>,
    Extension(peer): Extension<Peer>,
    Body(which): Body<ClientKey>,
) -> Result<Json<ClientView>, Problem> {
    let session = find(broker(&ctx)?, &which)?;
    let work = ctx.clone();
    let target = match &session.key.owner {
        Some(owner) => format!("{owner}/{}", session.key.client_id),
        None => session.key.client_id.to_string(),
    };
    act(&ctx, peer, "client.kick", &target, "", async move {
        if broker(&work)?.disconnect(&session.key, ReasonCode::AdministrativeAction) {
            Ok(Json(view(&session)))
        } else {
            Err(Problem::detailed(Kind::Conflict, "it has no link"))
        }
    })
    .await
}
