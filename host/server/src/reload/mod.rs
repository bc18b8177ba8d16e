//! Certificate and policy, read again while everything runs: at SIGHUP, at `postern reload`, and when the files
//! change ([`watch`]). What is wrong changes nothing, and is told: in the log, in `postern status`, in a metric.

mod watch;

use std::sync::Arc;

use parking_lot::Mutex;
use rustls_pki_types::UnixTime;
use tokio::signal::unix::Signal;
use tracing::{error, info, warn};

use crate::{
    admin::wire::{Outcome, Reloaded, ReloadedPart},
    audit::Audit,
    listen::tls::Certificates,
    plugins::Life,
    policy::Policy,
};

/// Who wants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// `postern reload`, whose act is in the audit log already.
    Operator,
    /// SIGHUP.
    Signal,
    /// A file has changed: nobody has said that it is as it is meant.
    File,
}

/// What of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The certificate and its key.
    Certificate,
    /// The policy.
    Policy,
}

impl Which {
    const ALL: [Which; 2] = [Which::Certificate, Which::Policy];

    fn name(self) -> &'static str {
        match self {
            Which::Certificate => "certificate",
            Which::Policy => "policy",
        }
    }
}

/// How things stand, by what was tried last.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    /// Why the files of the certificate are not what serves.
    pub certificate: Option<String>,
    /// Why the policy file is not what is in force.
    pub policy: Option<String>,
    /// Keys of the policy file that wait for a restart.
    pub restart: Vec<String>,
}

/// Reads them again.
pub struct Reloader {
    certificates: Certificates,
    life: Arc<Life>,
    audit: Audit,
    /// One at a time.
    turn: tokio::sync::Mutex<()>,
    standing: Mutex<Standing>,
}

impl Reloader {
    /// What serves as it is now.
    pub fn new(certificates: Certificates, life: Arc<Life>, audit: Audit) -> Self {
        let (turn, standing) = Default::default();
        let reloader = Reloader { certificates, life, audit, turn, standing };
        reloader.show();
        reloader
    }

    /// How things stand.
    pub fn standing(&self) -> Standing {
        self.standing.lock().clone()
    }

    /// When the serving certificate expires, in seconds since the Unix epoch.
    pub fn certificate_expires(&self) -> u64 {
        self.certificates.not_after().as_secs()
    }

    /// Reloads at each SIGHUP.
    pub async fn on_hangups(self: Arc<Self>, mut hangups: Signal) {
        while hangups.recv().await.is_some() {
            self.reload(Cause::Signal).await;
        }
    }

    /// Reads both again.
    pub async fn reload(&self, cause: Cause) -> Reloaded {
        let certificate = self.reload_one(Which::Certificate, cause).await;
        Reloaded {
            certificate,
            certificate_expires: self.certificate_expires(),
            policy: self.reload_one(Which::Policy, cause).await,
        }
    }

    /// Reads one of them again.
    pub async fn reload_one(&self, which: Which, cause: Cause) -> ReloadedPart {
        let _turn = self.turn.lock().await;
        let done = match which {
            Which::Certificate => self.certificate(cause).await,
            Which::Policy => self.policy(cause).await,
        };
        let part =
            done.unwrap_or_else(|wrong| ReloadedPart { wrong: Some(wrong), ..Outcome::Refused.into() });
        self.note(which, &part, cause);
        part
    }

    async fn certificate(&self, cause: Cause) -> Result<ReloadedPart, String> {
        let certificates = self.certificates.clone();
        let read = tokio::task::spawn_blocking(move || certificates.read(UnixTime::now())).await;
        let Some(read) = read.map_err(|e| e.to_string())?.map_err(|e| e.to_string())? else {
            return Ok(Outcome::Unchanged.into());
        };
        self.audited(Which::Certificate, cause, async {
            self.certificates.serve(read);
            Ok(Outcome::Applied.into())
        })
        .await
    }

    async fn policy(&self, cause: Cause) -> Result<ReloadedPart, String> {
        let running = self.life.policy.load_full();
        let file = running.file().to_owned();
        let read = tokio::task::spawn_blocking(move || Policy::load(&file)).await;
        let read = read.map_err(|e| e.to_string())?.map_err(|e| e.to_string())?;
        // With it the node would not start again.
        read.needed(self.life.roles).try_for_each(|role| role.map(drop)).map_err(|e| e.to_string())?;
        let (policy, restart) = read.beside(&running);
        let taken = policy.takes_from_floor(&running);
        if cause != Cause::Operator && !taken.is_empty() {
            return Err(lowers_floor(&policy, &taken));
        }
        if policy == *running {
            return Ok(ReloadedPart { restart, ..Outcome::Unchanged.into() });
        }
        self.audited(Which::Policy, cause, async {
            let plugins = Box::pin(self.life.adopt(policy)).await.map_err(|e| e.to_string())?;
            Ok(ReloadedPart { plugins, restart, ..Outcome::Applied.into() })
        })
        .await
    }

    /// Does it with an entry in the audit log; an operator's has one.
    async fn audited(
        &self,
        which: Which,
        cause: Cause,
        work: impl Future<Output = Result<ReloadedPart, String>>,
    ) -> Result<ReloadedPart, String> {
        let by = match cause {
            Cause::Operator => return work.await,
            Cause::Signal => "signal",
            Cause::File => "file",
        };
        let act = self.audit.begin(by, "reload", which.name(), "").await;
        let act = act.map_err(|e| format!("the audit log cannot be written ({e}); nothing was done"))?;
        let done = work.await;
        match &done {
            Ok(_) => act.end("done", "").await,
            Err(wrong) => act.end("failed", wrong).await,
        }
        done
    }

    /// Tells what came of it; of a file that is still wrong in the same way only the metric does again.
    fn note(&self, which: Which, part: &ReloadedPart, cause: Cause) {
        let what = which.name();
        if part.outcome != Outcome::Unchanged {
            let outcome = if part.outcome == Outcome::Applied { "applied" } else { "refused" };
            metrics::counter!("postern_reloads_total", "what" => what, "outcome" => outcome).increment(1);
        }
        let mut standing = self.standing.lock();
        let former = match which {
            Which::Certificate => std::mem::replace(&mut standing.certificate, part.wrong.clone()),
            Which::Policy => std::mem::replace(&mut standing.policy, part.wrong.clone()),
        };
        match &part.wrong {
            Some(wrong) if cause != Cause::File || former.as_ref() != Some(wrong) => {
                error!(what, wrong, "reload refused: what served serves on");
            }
            Some(_) => {}
            None if part.outcome == Outcome::Applied && which == Which::Certificate => {
                info!(what, "reloaded: new handshakes are shown it");
            }
            None if part.outcome == Outcome::Applied => info!(what, plugins = ?part.plugins, "reloaded"),
            None if former.is_some() => info!(what, "the file is again what serves"),
            None if cause != Cause::File => info!(what, "reload: nothing has changed"),
            None => {}
        }
        if which == Which::Policy && part.wrong.is_none() && standing.restart != part.restart {
            standing.restart.clone_from(&part.restart);
            if !part.restart.is_empty() {
                warn!(
                    keys = part.restart.join(", "),
                    "changed in the policy file, and read at a start only: restart"
                );
            }
        }
        drop(standing);
        self.show();
    }

    fn show(&self) {
        let standing = self.standing();
        for which in Which::ALL {
            let wrong = match which {
                Which::Certificate => &standing.certificate,
                Which::Policy => &standing.policy,
            };
            let refused = f64::from(u8::from(wrong.is_some()));
            metrics::gauge!("postern_reload_refused", "what" => which.name()).set(refused);
        }
        let expires = self.certificate_expires();
        metrics::gauge!("postern_certificate_expires_seconds").set(expires as f64);
    }
}

/// A file that lost its end is a policy with a lower floor: so nobody's word is not enough for one.
fn lowers_floor(policy: &Policy, taken: &[String]) -> String {
    format!(
        "{}: must_encrypt.command_classes: {} is there no more; the floor is not lowered because a file has changed, \
         but by `postern reload` alone",
        policy.file().display(),
        taken.join(", ")
    )
}
