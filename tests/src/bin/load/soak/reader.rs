//! Who asks over HTTP while everything runs, and reads everything at its end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use phone::{Api, ApiError, History, Token};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::dice::Dice;
use super::phone::{message, name};
use super::{Told, World, every};

/// Between two requests.
const PAUSE: Duration = Duration::from_millis(250);
/// Of twenty faces, the one that asks for a conversation that never was: the server looks through all of the
/// inbox for it, which grows.
const STRANGER: usize = 6;
/// Messages of a page, at most.
const PAGE: usize = 200;

/// Asks for one thing after the other until it is told to leave.
pub(super) async fn ask(world: Arc<World>, told: watch::Receiver<Told>) -> Result<()> {
    let (mut dice, mut pause) = (Dice::new(7), every(PAUSE));
    while *told.borrow() == Told::Live {
        pause.tick().await;
        let reader = dice.below(world.phones);
        let Some(token) = world.token(reader) else { continue };
        let (api, face) = (world.api.clone(), dice.below(20));
        let mates: Vec<usize> = world.mates(reader).collect();
        let mate = dice.one(&mates).context("nobody to write to")?;
        let with = if face == STRANGER { "nobody".to_owned() } else { name(mate) };
        let begun = Instant::now();
        let asked = tokio::task::spawn_blocking(move || one(&api, &token, &with, face)).await?;
        world.watch.took(if face == STRANGER { "http_nobody" } else { "http" }, begun.elapsed());
        world.watch.count("http_requests");
        if let Err(error) = asked {
            world.watch.fault("a reader", &error);
        }
    }
    Ok(())
}

/// One request, most often for history.
fn one(api: &Api, token: &Token, with: &str, face: usize) -> Result<()> {
    match face {
        0 => api.get::<Value>(token, "/v1/me").map(drop)?,
        1 => api.get::<Value>(token, "/v1/directory?limit=50").map(drop)?,
        2 => api.challenge().map(drop)?,
        3 => {
            let wrong = Token { bearer: "wrong".to_owned(), ..token.clone() };
            refused(api.get::<Value>(&wrong, "/v1/me"), 401)?;
        }
        // Each time somebody else, whom the server does not know.
        4 => refused(api.login(&format!("nobody-{}", phone::now_ms()), "postern-wrong", "x"), 401)?,
        5 => {
            let page = api.history(token, with, None)?;
            if let Some(newest) = page.messages.first() {
                let marker = json!({ "conversation": { "kind": "with", "name": with }, "seq": newest.seq });
                api.put(token, "/v1/messages/read", &marker)?;
            }
        }
        _ => api.history(token, with, None).map(drop)?,
    }
    Ok(())
}

fn refused<T>(answer: Result<T, ApiError>, status: u16) -> Result<()> {
    match answer {
        Err(ApiError::Refused { status: said, .. }) if said == status => Ok(()),
        Err(other) => Err(other.into()),
        Ok(_) => bail!("{status} was to be said"),
    }
}

/// Reads the history of every phone to its beginning and notes what stands there.
pub(super) async fn read_all(world: &Arc<World>) -> Result<()> {
    for phone in 0..world.phones {
        // A token of its own: those of the phones may be in use.
        let account = world.log_in(&name(phone)).await?;
        let (token, for_task) = (account.token().clone(), world.clone());
        let read = move || history_of(&for_task, phone, &token);
        tokio::task::spawn_blocking(read).await?.with_context(|| name(phone))?;
    }
    Ok(())
}

fn history_of(world: &World, phone: usize, token: &Token) -> Result<()> {
    let mut before = None;
    loop {
        let from = before.map(|seq: u64| format!("&before={seq}")).unwrap_or_default();
        let page: History = world.api.get(token, &format!("/v1/messages?limit={PAGE}{from}"))?;
        for found in &page.messages {
            let body = found.body.as_deref().unwrap_or_default();
            if let Some((from, number, _)) = message(&found.topic, body.as_bytes(), phone) {
                world.chat.read(from, number);
            }
        }
        before = page.next_before;
        if before.is_none() {
            return Ok(());
        }
    }
}
