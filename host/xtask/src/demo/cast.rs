//! The cast of the story: `phone` and `terminal` programs, spoken to by their stdin and stdout.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::server::Server;
use crate::{sh, up};

/// How long a line may take to come before the step has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// A person at a device.
pub(crate) struct Actor {
    name: String,
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
}

/// Where the devices keep token and counter, and what they trust.
pub(crate) struct Place<'a> {
    pub(crate) root: &'a Path,
    pub(crate) folder: &'a Path,
}

impl Place<'_> {
    /// Starts `user`'s device: it logs in with `password`, or (None) goes on with the token it has.
    pub(crate) fn enter(
        &self,
        server: &Server,
        user: &str,
        device: &str,
        password: Option<&str>,
        options: &[&str],
    ) -> Result<Actor> {
        let mut phone = self.phone(server, user, device)?;
        phone.arg("--state").arg(self.folder.join("data/devices")).args(options);
        let mut actor = Actor::start(device, phone)?;
        if let Some(password) = password {
            actor.types(password, false)?;
        }
        Ok(actor)
    }

    /// The car's program.
    pub(crate) fn car(&self, server: &Server) -> Result<Command> {
        let data = self.folder.join("data");
        up::car(self.root, server, &data, &data.join("car"))
    }

    /// Starts the car, whose plain link goes over this port.
    pub(crate) fn drives(&self, server: &Server, port: u16) -> Result<Actor> {
        let mut command = self.car(server)?;
        command.args(["--tcp-port", &port.to_string()]);
        Actor::start(up::CAR, command)
    }

    fn phone(&self, server: &Server, user: &str, device: &str) -> Result<Command> {
        let mut command = Command::new(self.root.join(sh::PROGRAMS).join("phone"));
        command.arg("--server").arg(format!("https://{}", server.address("http")?));
        command.arg("--ca").arg(self.folder.join("data/development-ca.pem"));
        command.args(["--user", user, "--client-id", device]);
        Ok(command)
    }
}

impl Actor {
    fn start(name: &str, mut command: Command) -> Result<Actor> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        let (tell, lines) = channel();
        let stdout = child.stdout.take().context("no stdout")?;
        let stderr = child.stderr.take().context("no stderr")?;
        for reader in [Box::new(stdout) as Box<dyn std::io::Read + Send>, Box::new(stderr)] {
            let tell = tell.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(reader).lines().map_while(Result::ok) {
                    tell.send(line).ok();
                }
            });
        }
        let stdin = child.stdin.take();
        Ok(Actor { name: name.to_owned(), child, stdin, lines })
    }

    /// Types a line.
    pub(crate) fn says(&mut self, line: &str) -> Result<()> {
        self.types(line, true)
    }

    fn types(&mut self, line: &str, shown: bool) -> Result<()> {
        if shown {
            println!("    {:12} > {line}", self.name);
        }
        let stdin = self.stdin.as_mut().context("the device is off")?;
        writeln!(stdin, "{line}").with_context(|| format!("{} is gone", self.name))
    }

    /// Waits until the device shows a line with `text`; shows what comes until then.
    pub(crate) fn sees(&self, text: &str) -> Result<String> {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => {
                    println!("    {:12} | {line}", self.name);
                    if line.contains(text) {
                        return Ok(line);
                    }
                }
                Err(RecvTimeoutError::Timeout) => bail!("{} never saw {text:?}", self.name),
                Err(RecvTimeoutError::Disconnected) => bail!("{} ended before it saw {text:?}", self.name),
            }
        }
    }

    /// Switches the device off in order, when all that was sent is stored.
    pub(crate) fn leaves(mut self) -> Result<()> {
        self.says("/quit")?;
        self.sees("goodbye")?;
        self.stdin = None;
        let status = self.child.wait()?;
        ensure!(status.success(), "{} ended with {status}", self.name);
        Ok(())
    }

    /// The device ends by itself, as a failure.
    pub(crate) fn gives_up(mut self) -> Result<()> {
        let status = self.child.wait()?;
        ensure!(!status.success(), "{} was let in", self.name);
        Ok(())
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.child.kill().and_then(|()| self.child.wait()).ok();
        }
    }
}
