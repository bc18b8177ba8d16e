//! `postern reload`, and what `postern status` tells of it.

use anyhow::bail;
use hyper::Method;

use super::{
    client::AdminClient,
    print::{self, printable},
};
use crate::admin::wire::{Outcome, Reloaded, ReloadedPart, Status};

/// `postern reload`; it fails when a part is refused.
pub(super) async fn reload(server: &AdminClient) -> anyhow::Result<()> {
    let Reloaded { certificate, certificate_expires, policy } =
        server.ask::<(), _>(Method::POST, "/v1/reload", None).await?;
    if server.json {
        print::json(&Reloaded {
            certificate: certificate.clone(),
            certificate_expires,
            policy: policy.clone(),
        })?;
    } else {
        let until =
            format!("{}, valid until {}", told(&certificate), print::time(certificate_expires * 1_000));
        print::line(&format!("certificate  {until}"))?;
        print::line(&format!("policy       {}", told(&policy)))?;
        if !policy.plugins.is_empty() {
            print::line(&format!("  loaded again under it: {}", policy.plugins.join(", ")))?;
        }
        waiting(&policy.restart)?;
    }
    let wrong: Vec<String> = [certificate.wrong, policy.wrong].into_iter().flatten().collect();
    if wrong.is_empty() {
        return Ok(());
    }
    bail!("refused, and what served serves on: {}", printable(&wrong.join("; ")))
}

fn told(part: &ReloadedPart) -> &'static str {
    match part.outcome {
        Outcome::Applied => "applied",
        Outcome::Unchanged => "unchanged",
        Outcome::Refused => "refused",
    }
}

fn waiting(keys: &[String]) -> anyhow::Result<()> {
    if keys.is_empty() {
        return Ok(());
    }
    print::line(&format!("  read at a start only, waits for a restart: {}", keys.join(", ")))
}

/// What of the files is not what serves.
pub(super) fn standing(status: &Status) -> anyhow::Result<()> {
    if status.certificate_expires > 0 {
        print::line(&format!("certificate valid until {}", print::time(status.certificate_expires * 1_000)))?;
    }
    for (what, refused) in [("certificate", &status.certificate_refused), ("policy", &status.policy_refused)]
    {
        if let Some(wrong) = refused {
            print::line(&format!("  new {what} refused: {}", printable(wrong)))?;
        }
    }
    waiting(&status.restart)
}
