//! The terminals of examples/, run as programs: what they print is what tests wait for.

use std::path::PathBuf;
use std::process::Stdio;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::{Postern, password, patiently};

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// examples/terminal
    Rust,
    /// examples/terminal-python
    Python,
}

/// A running terminal. Killed when dropped.
#[derive(Debug)]
pub struct Terminal {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    /// Everything that it printed so far.
    pub events: Vec<Value>,
}

impl Kind {
    /// The command that starts it, up to its options. None where Python's packages cannot be had.
    fn command(self) -> Option<Command> {
        match self {
            Kind::Rust => Some(Command::new(crate::program().with_file_name("terminal"))),
            Kind::Python => {
                let mut command = Command::new(python()?);
                command.arg(crate::root().join("examples/terminal-python/terminal.py"));
                Some(command)
            }
        }
    }
}

/// The Python that has the terminal's packages, made by `cargo xtask test`.
pub fn python() -> Option<PathBuf> {
    let python = crate::root().join("target/foreign/python/bin/python");
    python.exists().then_some(python)
}

impl Postern {
    /// Starts a terminal program for a user that is there, with more options and variables.
    pub async fn start_terminal(
        &self,
        kind: Kind,
        user: &str,
        more: &[&str],
        environment: &[(&str, &str)],
    ) -> Option<Terminal> {
        let state = self.folder().join(format!("terminal-{user}"));
        std::fs::create_dir_all(&state).unwrap();
        let password_file = self.folder().join(format!("{user}.password"));
        std::fs::write(&password_file, password(user)).unwrap();
        let mut command = kind.command()?;
        command.args(["--server", &format!("https://{}", self.address("http"))]);
        command.arg("--ca").arg(self.data().join("development-ca.pem"));
        command.args(["--user", user, "--client-id", "unit", "--json", "--back-off-ms", "50"]);
        command.arg("--password-file").arg(password_file).arg("--state").arg(state);
        // A token that was kept names the ports of before a restart.
        for listener in ["tcp", "tls"] {
            let option = format!("--{listener}-port");
            if !more.contains(&&*option) {
                command.args([&option, self.address(listener).rsplit(':').next().unwrap()]);
            }
        }
        command.args(more).envs(environment.iter().copied());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().expect("the terminal starts");
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Some(Terminal { child, lines, events: Vec::new() })
    }
}

impl Terminal {
    /// The next event of this name, from now on.
    pub async fn event(&mut self, name: &str) -> Value {
        self.event_that(name, |_| true).await
    }

    /// The next event of this name for which `wanted` holds.
    pub async fn event_that(&mut self, name: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let found = async {
            while let Some(event) = self.next().await {
                if event["event"] == name && wanted(&event) {
                    return event;
                }
            }
            panic!("the terminal ended before {name:?}; it had printed {:#?}", self.events);
        };
        patiently(name, found).await
    }

    /// Waits for this event, unless it has come already.
    pub async fn did(&mut self, name: &str) {
        if !self.events.iter().any(|event| event["event"] == name) {
            self.event(name).await;
        }
    }

    /// Signed in on a listener of this transport, and asked what waits.
    pub async fn is_on(&mut self, transport: &str) {
        self.event_that("query-taken", |event| event["transport"] == transport).await;
    }

    /// Waits for its end by itself, such as at a crash point.
    pub async fn ended(&mut self) {
        let end = async {
            while self.next().await.is_some() {}
            self.child.wait().await.unwrap()
        };
        patiently("the end of the terminal", end).await;
    }

    /// SIGKILL.
    pub async fn kill(&mut self) {
        self.child.start_kill().unwrap();
        self.ended().await;
    }

    async fn next(&mut self) -> Option<Value> {
        let line = self.lines.next_line().await.unwrap()?;
        let event: Value = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{line}: {e}"));
        self.events.push(event.clone());
        Some(event)
    }

    /// How often it did this.
    pub fn acted(&self, what: &str) -> usize {
        let acted =
            |event: &&Value| event["event"] == "acted" && event["what"].as_str().unwrap().contains(what);
        self.events.iter().filter(acted).count()
    }
}
