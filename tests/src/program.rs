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
    /// A terminal's folder: its key, if it has one, and what it remembers.
    pub fn terminal_state(&self, user: &str) -> PathBuf {
        self.folder().join(format!("terminal-{user}"))
    }

    /// Has a terminal program make its key pair, and adds a user of `acme` who logs in by it alone. Gives
    /// the public key.
    pub async fn enrol(&self, kind: Kind, user: &str) -> Option<String> {
        let made = self.terminal_program(kind, user, &["--enrol"])?.output();
        let made = patiently("the key pair", made).await.unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let key = String::from_utf8(made.stdout).unwrap().trim_end().to_owned();
        self.done(&["user", "add", user, "--org", "acme", "--key", &key]).await;
        Some(key)
    }

    /// The program with all that it needs but a credential, and with more or other options.
    fn terminal_program(&self, kind: Kind, user: &str, more: &[&str]) -> Option<Command> {
        let mut command = kind.command()?;
        let state = self.terminal_state(user);
        let mut usual = vec![
            ("--server", format!("https://{}", self.address("http"))),
            ("--ca", self.data().join("development-ca.pem").display().to_string()),
            ("--state", state.display().to_string()),
            ("--user", user.to_owned()),
            ("--client-id", "unit".to_owned()),
            ("--back-off-ms", "50".to_owned()),
        ];
        // A token that was kept names the ports of before a restart.
        for (option, listener) in [("--tcp-port", "tcp"), ("--tls-port", "tls")] {
            usual.push((option, self.address(listener).rsplit(':').next().unwrap().to_owned()));
        }
        for (option, value) in usual.iter().filter(|(option, _)| !more.contains(option)) {
            command.args([option, &value.as_str()]);
        }
        command.arg("--json").args(more).stdin(Stdio::null()).kill_on_drop(true);
        Some(command)
    }

    /// What a terminal program says that does not even start.
    pub async fn terminal_fails(&self, kind: Kind, user: &str, more: &[&str]) -> Option<String> {
        let ended = self.terminal_program(kind, user, more)?.output();
        let ended = patiently("the end of the terminal", ended).await.unwrap();
        assert!(!ended.status.success(), "it started");
        Some(String::from_utf8_lossy(&ended.stderr).into_owned())
    }

    /// Starts a terminal program for a user that is there, with more options and variables.
    pub async fn start_terminal(
        &self,
        kind: Kind,
        user: &str,
        more: &[&str],
        environment: &[(&str, &str)],
    ) -> Option<Terminal> {
        let mut command = self.terminal_program(kind, user, more)?;
        command.envs(environment.iter().copied());
        // By password, unless it has a key.
        if !self.terminal_state(user).join("key").exists() {
            let file = self.folder().join(format!("{user}.password"));
            std::fs::write(&file, password(user)).unwrap();
            command.arg("--password-file").arg(file);
        }
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the terminal starts");
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
