//! Asking and answering over the bus: the only way from group to group (A4).

use std::{future::Future, time::Duration};

use bytes::Bytes;
use postern_bus::{Bus, BusError};
use postern_trace::{Work, child};
use serde::{Deserialize, Serialize};
use tracing::warn;

use super::wire::{Denied, Group, Request};
use crate::tasks::Background;

/// How long an answer may take. A login waits for an issued token this long at most.
const PATIENCE: Duration = Duration::from_secs(5);

/// A request, and what it is asked for: who answers goes on with that.
#[derive(Serialize)]
struct Carried<'a, R> {
    #[serde(flatten)]
    question: &'a R,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace: Option<String>,
}

/// What a message of the bus says that it belongs to; nobody's, when it says nothing that is understood.
pub fn carried(payload: &[u8]) -> Work {
    #[derive(Deserialize)]
    struct Trace {
        trace: Option<String>,
    }
    let said = serde_json::from_slice::<Trace>(payload).ok().and_then(|it| it.trace);
    said.and_then(|text| text.parse().ok()).unwrap_or_default()
}

/// Sends a request to its group and waits for the answer.
///
/// # Errors
/// What the answering node said, or `Unavailable` when none answered.
pub async fn ask<R: Request>(bus: &Bus, request: &R) -> Result<R::Answer, Denied> {
    let unavailable = |detail: String| Denied::Unavailable { detail };
    let mut span = child("bus.request");
    span.note("postern.subject", || R::SUBJECT.into());
    let carried = Carried { question: request, trace: span.work().carried() };
    let body = serde_json::to_vec(&carried).map_err(|e| unavailable(e.to_string()))?;
    let answer = match span.run(bus.request(R::SUBJECT, Bytes::from(body), PATIENCE)).await {
        Ok(answer) => answer,
        Err(BusError::NoResponder) => {
            let group = match R::GROUP {
                Group::Static => "login",
                Group::Dynamic => "broker",
            };
            return Err(unavailable(format!("no {group} server answers on the bus")));
        }
        Err(e) => return Err(unavailable(format!("{}: {e}", R::SUBJECT))),
    };
    serde_json::from_slice::<Result<R::Answer, Denied>>(&answer)
        .map_err(|e| unavailable(format!("{}: {e}", R::SUBJECT)))?
}

/// Answers requests of one kind until the bus closes; each on a task of its own.
///
/// # Errors
/// When the bus takes no subscription.
pub async fn answer<R, F, A>(bus: &Bus, tasks: &Background, f: F) -> Result<(), BusError>
where
    R: Request,
    F: Fn(R) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Result<R::Answer, Denied>> + Send + 'static,
{
    let group = match R::GROUP {
        Group::Static => "static",
        Group::Dynamic => "dynamic",
    };
    let mut requests = bus.serve(R::SUBJECT, group).await?;
    let owner = tasks.clone();
    tasks.spawn(async move {
        while let Some(request) = requests.next().await {
            let f = f.clone();
            let work = carried(&request.payload);
            owner.spawn(work.run(async move {
                let result = match serde_json::from_slice::<R>(&request.payload) {
                    Ok(question) => f(question).await,
                    Err(e) => Err(Denied::Invalid { detail: format!("{}: {e}", R::SUBJECT) }),
                };
                match serde_json::to_vec(&result) {
                    Ok(body) => request.reply(Bytes::from(body)).await,
                    Err(e) => warn!(subject = R::SUBJECT, error = %e, "answer cannot be written"),
                }
            }));
        }
    });
    Ok(())
}
