//! A `postern serve` of our own: started, spoken to by its command line, stopped by its process id.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::sh;

/// A running server.
pub(crate) struct Server {
    child: Child,
    program: PathBuf,
    config: PathBuf,
    addresses: BTreeMap<String, String>,
    /// Held: a server that has more to say must not find its stdout closed.
    stdout: BufReader<ChildStdout>,
}

/// The `[listen]` table of a config file, in the order in which the server names its listeners.
pub(crate) type Listeners<'a> = &'a [(&'a str, &'a str)];

/// Writes a config file: listeners, a data folder, and the default policy, unless one is there and nothing is added to it.
pub(crate) fn write_config(
    root: &Path,
    folder: &Path,
    plugins: &Path,
    policy: &str,
    listeners: Listeners,
) -> Result<PathBuf> {
    let default = root.join("policies/default.toml");
    let default =
        std::fs::read_to_string(&default).with_context(|| format!("cannot read {}", default.display()))?;
    let policy_file = folder.join("policy.toml");
    let data = folder.join("data");
    std::fs::create_dir_all(&data).with_context(|| format!("cannot make {}", data.display()))?;
    let mut text = format!(
        "policy = {:?}\ndata = {:?}\n\n[plugins]\ndir = {:?}\n\n[listen]\n",
        policy_file, data, plugins,
    );
    // What somebody wrote into it for a plugin of his own stays: that plugin may be active.
    if !policy.is_empty() || !policy_file.exists() {
        std::fs::write(&policy_file, default + policy)
            .with_context(|| format!("cannot write {}", policy_file.display()))?;
    }
    for (name, address) in listeners {
        text.push_str(&format!("{name} = {address:?}\n"));
    }
    text.push_str(
        "\n[limits]\nidle_max_secs = 5 # a car goes back to plain TCP soon: it is only a demonstration\n",
    );
    let file = folder.join("postern.toml");
    std::fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(file)
}

impl Server {
    /// Starts the server and waits until it listens. Its log goes to our stderr, or to a file.
    pub(crate) fn start(
        root: &Path,
        config: &Path,
        listeners: Listeners,
        log: Option<&Path>,
    ) -> Result<Self> {
        Self::start_program(&root.join(sh::PROGRAMS).join("postern"), config, listeners, log, &[])
    }

    /// The same, of another build, and with more in its environment.
    pub(crate) fn start_program(
        program: &Path,
        config: &Path,
        listeners: Listeners,
        log: Option<&Path>,
        environment: &[(&str, &str)],
    ) -> Result<Self> {
        let mut command = Command::new(program);
        command.envs(environment.iter().copied());
        command.arg("serve").arg("--config").arg(config).stdin(Stdio::null()).stdout(Stdio::piped());
        if let Some(log) = log {
            let file = std::fs::File::options().create(true).append(true).open(log);
            command.stderr(file.with_context(|| format!("cannot write {}", log.display()))?);
        }
        let mut child = command.spawn().with_context(|| format!("cannot start {}", program.display()))?;
        let stdout = BufReader::new(child.stdout.take().context("the server has no stdout")?);
        let (program, config) = (program.to_owned(), config.to_owned());
        let mut server = Server { child, program, config, addresses: BTreeMap::new(), stdout };
        while server.addresses.len() < listeners.len() {
            let mut line = String::new();
            if server.stdout.read_line(&mut line)? == 0 {
                let status = server.child.wait()?;
                bail!("the server did not start ({status}){}", last_line(log));
            }
            let line = line.trim_end();
            if let Some((name, address)) = line.strip_prefix("listening ").and_then(|l| l.split_once(' ')) {
                server.addresses.insert(name.to_owned(), address.to_owned());
            }
        }
        Ok(server)
    }

    /// Where the listener `name` listens.
    pub(crate) fn address(&self, name: &str) -> Result<&str> {
        self.addresses.get(name).map(String::as_str).with_context(|| format!("no listener {name}"))
    }

    /// Runs a verb of the program against this server, with `input` on its stdin.
    pub(crate) fn cli(&self, words: &[&str], input: &str) -> Result<String> {
        let mut child = Command::new(&self.program)
            .args(words)
            .arg("--config")
            .arg(&self.config)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot start postern")?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(input.as_bytes())?;
        }
        let output = child.wait_with_output()?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "postern {}: {}", words.join(" "), errors.trim());
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Every listener with its address as a config file says it, so that another start takes the same.
    pub(crate) fn where_it_listens(&self) -> Result<Vec<(String, String)>> {
        ensure!(!self.addresses.is_empty(), "it listens nowhere");
        Ok(self.addresses.clone().into_iter().collect())
    }

    /// One value of the health listener's /metrics: the sum over all labels that contain `label`.
    pub(crate) fn metric(&self, name: &str, label: &str) -> Result<f64> {
        let mut stream = TcpStream::connect(self.address("health")?)?;
        stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n")?;
        let mut page = String::new();
        stream.read_to_string(&mut page)?;
        let of_name = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
        let values = page.lines().filter(of_name).filter(|line| line.contains(label));
        let values = values.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        Ok(values.sum())
    }

    /// The server's process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until the server ends by itself or by a signal.
    pub(crate) fn wait(&mut self) -> Result<ExitStatus> {
        self.child.wait().context("cannot wait for the server")
    }

    /// SIGKILL: nothing is flushed, nobody is told.
    pub(crate) fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.wait().map(drop)
    }

    /// Stops the server as an operator does (SIGTERM), and waits for it.
    pub(crate) fn stop(mut self) -> Result<()> {
        terminate(self.id())?;
        let status = self.wait()?;
        ensure!(status.success(), "the server stopped with {status}");
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Only when a step before failed: `stop` has waited for the process already.
        if matches!(self.child.try_wait(), Ok(None)) {
            self.child.kill().and_then(|()| self.child.wait()).ok();
        }
    }
}

/// Sends SIGTERM to one process of ours.
pub(crate) fn terminate(id: u32) -> Result<()> {
    sh::output(Command::new("kill").arg("-TERM").arg(id.to_string())).map(drop)
}

/// What the server said last, so that the reason stands beside the failure.
fn last_line(log: Option<&Path>) -> String {
    let text = log.and_then(|log| std::fs::read_to_string(log).ok()).unwrap_or_default();
    text.lines().rfind(|line| !line.is_empty()).map_or_else(String::new, |line| format!(": {line}"))
}
