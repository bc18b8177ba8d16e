//! The commands under way: at most one is executed at a time, and the journal is written around it.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rumqttc::v5::mqttbytes::v5::Publish;
use tokio::sync::mpsc;

use crate::crash::crash_point;
use crate::journal::Journal;
use crate::message::{Command, CommandId, Outcome, Report};
use crate::rules::Known;

/// Commands that wait for the one before them, at most.
const WAITING: usize = 32;

/// What executes commands.
pub trait Actor: Send + Sync + 'static {
    /// Executes one; no other is executed meanwhile. What it answers is what the requester is shown: `Ok` for
    /// done, `Err` for failed. A panic is reported as unknown.
    fn execute(&self, class: &str, body: &[u8]) -> impl Future<Output = Result<Vec<u8>, Vec<u8>>> + Send;
}

/// A command that is being executed.
struct Running {
    id: CommandId,
    must_encrypt: bool,
    /// The server has taken the result `acknowledged`.
    told: bool,
}

pub(crate) struct Work<A> {
    actor: Arc<A>,
    journal: Arc<Mutex<Journal>>,
    running: Option<Running>,
    /// In order, each with the message to acknowledge when it begins.
    waiting: VecDeque<(Command, Publish)>,
    ended: (mpsc::UnboundedSender<io::Result<()>>, mpsc::UnboundedReceiver<io::Result<()>>),
}

/// A result that the server should get.
pub(crate) struct Due {
    pub(crate) report: Report,
    pub(crate) must_encrypt: bool,
}

impl<A: Actor> Work<A> {
    pub(crate) fn new(actor: A, journal: Journal) -> Self {
        let (actor, journal) = (Arc::new(actor), Arc::new(Mutex::new(journal)));
        Work { actor, journal, running: None, waiting: VecDeque::new(), ended: mpsc::unbounded_channel() }
    }

    pub(crate) fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of a command's id.
    pub(crate) fn known(&self, id: CommandId) -> Known {
        if self.running.as_ref().is_some_and(|running| running.id == id) {
            return Known::Running;
        }
        if self.waiting.iter().any(|(command, _)| command.id == id) {
            return Known::Waiting;
        }
        self.journal().known(id)
    }

    /// Whether anything is executed, waits for that, or waits to be reported.
    pub(crate) fn is_busy(&self) -> bool {
        self.running.is_some() || !self.waiting.is_empty() || !self.journal().unreported().is_empty()
    }

    /// Takes a command to be executed. False: too many wait.
    pub(crate) fn enqueue(&mut self, command: Command, publish: Publish) -> bool {
        let room = self.waiting.len() < WAITING;
        if room {
            self.waiting.push_back((command, publish));
        }
        room
    }

    /// The link is gone: what was not begun is not acknowledged, and comes again.
    pub(crate) fn forget_waiting(&mut self) {
        self.waiting.clear();
    }

    /// The next command, when none is being executed.
    pub(crate) fn next(&mut self) -> Option<(Command, Publish)> {
        if self.running.is_some() { None } else { self.waiting.pop_front() }
    }

    /// Writes the command to the journal. After it, and never without it, [`Work::act`].
    ///
    /// # Errors
    /// When it is not on disk.
    pub(crate) fn begin(&mut self, command: &Command, now_ms: u64) -> io::Result<()> {
        self.journal().begun(command.id, command.must_encrypt, command.expires_at, now_ms)?;
        self.running = Some(Running { id: command.id, must_encrypt: command.must_encrypt, told: false });
        crash_point("journal.begun");
        Ok(())
    }

    /// Executes in a task of its own, which outlives the link.
    pub(crate) fn act(&self, command: Command) {
        let (actor, journal, ended) = (self.actor.clone(), self.journal.clone(), self.ended.0.clone());
        let id = command.id;
        let act = tokio::spawn(async move { actor.execute(&command.class, &command.body).await });
        tokio::spawn(async move {
            let (outcome, body) = match act.await {
                Ok(Ok(body)) => (Outcome::Done, body),
                Ok(Err(body)) => (Outcome::Failed, body),
                Err(_) => (Outcome::Unknown, Vec::new()),
            };
            crash_point("command.executed");
            let mut journal = journal.lock().unwrap_or_else(PoisonError::into_inner);
            let written = journal.finished(id, outcome, &body);
            crash_point("journal.finished");
            ended.send(written).ok();
        });
    }

    /// Waits until the command that is being executed has ended.
    ///
    /// # Errors
    /// When its end is not on disk.
    pub(crate) async fn ended(&mut self) -> io::Result<()> {
        // Never `None`: we hold a sender.
        let ended = self.ended.1.recv().await.unwrap_or(Ok(()));
        self.running = None;
        ended
    }

    /// A command that came too late.
    ///
    /// # Errors
    /// When that is not on disk.
    pub(crate) fn expired(&self, command: &Command, now_ms: u64) -> io::Result<()> {
        let mut journal = self.journal();
        journal.begun(command.id, command.must_encrypt, command.expires_at, now_ms)?;
        journal.finished(command.id, Outcome::Expired, &[])
    }

    /// The server asks for what it was told already.
    pub(crate) fn report_again(&mut self, id: CommandId) {
        match &mut self.running {
            Some(running) if running.id == id => running.told = false,
            _ => self.journal().report_again(id),
        }
    }

    /// The server has taken a result, or never will.
    ///
    /// # Errors
    /// When that is not on disk.
    pub(crate) fn reported(&mut self, id: CommandId, outcome: Outcome) -> io::Result<()> {
        if outcome != Outcome::Acknowledged {
            return self.journal().reported(id);
        }
        if let Some(running) = self.running.as_mut().filter(|running| running.id == id) {
            running.told = true;
        }
        Ok(())
    }

    /// The results that the server has not taken.
    pub(crate) fn due(&self) -> Vec<Due> {
        let running = self.running.as_ref();
        let journal = self.journal();
        let ended = journal.unreported().into_iter().filter(|id| running.is_none_or(|r| r.id != *id));
        let due = |id| {
            let must_encrypt = journal.entry(id)?.must_encrypt;
            Some(Due { report: journal.report(id)?, must_encrypt })
        };
        let begun = running.filter(|running| !running.told).map(|running| Due {
            report: Report { id: running.id, outcome: Outcome::Acknowledged, body: Vec::new() },
            must_encrypt: running.must_encrypt,
        });
        begun.into_iter().chain(ended.filter_map(due)).collect()
    }
}
