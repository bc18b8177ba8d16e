//! The program, run for real.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::Notify;

use crate::{Page, Settings, patiently};

/// A running `postern serve`. Killed when dropped; its log is printed when the test fails.
#[derive(Debug)]
pub struct Postern {
    settings: Settings,
    running: Option<Running>,
    log: Log,
    // Last: gone after the program.
    _folder: Arc<TempDir>,
}

#[derive(Debug)]
struct Running {
    child: Child,
    addresses: BTreeMap<String, String>,
}

/// A program that did not start, or ended.
#[derive(Debug)]
pub struct Refused {
    /// How it ended.
    pub status: ExitStatus,
    /// Everything it wrote to stderr.
    pub stderr: String,
    /// The folder, to look at what was left behind.
    pub folder: Arc<TempDir>,
}

impl Postern {
    /// Starts the program with the default config and policy, changed by `change`.
    pub async fn start(change: impl FnOnce(&mut Settings)) -> Self {
        match Self::try_start(change).await {
            Ok(postern) => postern,
            Err(refused) => panic!("postern did not start ({}):\n{}", refused.status, refused.stderr),
        }
    }

    /// Starts the program, or tells how it refused to.
    pub async fn try_start(change: impl FnOnce(&mut Settings)) -> Result<Self, Refused> {
        let folder = Arc::new(TempDir::with_prefix("postern-").unwrap());
        let mut settings = Settings::new(folder.path());
        change(&mut settings);
        settings.write();
        let mut postern = Postern { settings, running: None, log: Log::default(), _folder: folder };
        postern.run().await?;
        Ok(postern)
    }

    /// Starts the program again, on the same data, after [`Postern::kill`] or [`Postern::stop`].
    pub async fn restart(&mut self) {
        if let Err(refused) = self.run().await {
            panic!("postern did not start again ({}):\n{}", refused.status, refused.stderr);
        }
    }

    async fn run(&mut self) -> Result<(), Refused> {
        assert!(self.running.is_none(), "it is running");
        let mut child = self.command(&["serve"]).stdout(Stdio::piped()).spawn().expect("postern starts");
        let written = self.log.follow(child.stderr.take().unwrap());
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let expected = self.settings.config["listen"].as_table().map_or(0, toml::Table::len);
        let mut addresses = BTreeMap::new();
        while addresses.len() < expected {
            let line = patiently("a line `listening …`", lines.next_line()).await.unwrap();
            let Some(line) = line else {
                let status = patiently("the end of postern", child.wait()).await.unwrap();
                patiently("the end of the log", written).await.unwrap();
                return Err(Refused { status, stderr: self.log.text(), folder: self._folder.clone() });
            };
            let (name, address) =
                line.strip_prefix("listening ").and_then(|l| l.split_once(' ')).unwrap_or_else(|| {
                    panic!("stdout has another line than `listening NAME ADDRESS`: {line}");
                });
            addresses.insert(name.to_owned(), address.to_owned());
        }
        self.running = Some(Running { child, addresses });
        Ok(())
    }

    fn command(&self, words: &[&str]) -> Command {
        let program = crate::program();
        let mut line = self.settings.wrapper.clone();
        line.push(program.to_str().unwrap().to_owned());
        let mut command = Command::new(&line[0]);
        command.args(&line[1..]).args(words).arg("--config").arg(self.settings.file());
        for (name, _) in std::env::vars_os().filter(|(n, _)| n.to_string_lossy().starts_with("POSTERN_")) {
            command.env_remove(name);
        }
        command.envs(&self.settings.environment).current_dir(crate::root());
        command.stdin(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }

    /// Where the listener `name` listens, as `host:port`.
    pub fn address(&self, name: &str) -> &str {
        let running = self.running.as_ref().expect("postern runs");
        running.addresses.get(name).unwrap_or_else(|| panic!("no listener {name}"))
    }

    /// The listeners that the program has told, by name.
    pub fn listeners(&self) -> Vec<&str> {
        self.running.as_ref().expect("postern runs").addresses.keys().map(String::as_str).collect()
    }

    /// The process id; under `strace`, its child's.
    pub fn id(&self) -> u32 {
        let id = self.running.as_ref().and_then(|r| r.child.id()).expect("postern runs");
        program_below(id)
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.settings.folder
    }

    /// Its data folder.
    pub fn data(&self) -> PathBuf {
        self.settings.data()
    }

    /// What it was started with; what is changed holds from the next restart.
    pub fn settings(&mut self) -> &mut Settings {
        &mut self.settings
    }

    /// Writes changed settings.
    pub fn rewrite(&mut self) {
        self.settings.write();
    }

    /// The certificate that clients are to trust, PEM.
    pub fn ca(&self) -> Vec<u8> {
        let file = self.data().join("development-ca.pem");
        std::fs::read(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()))
    }

    /// SIGKILL: nothing is flushed, nobody is told.
    pub async fn kill(&mut self) {
        let mut running = self.running.take().expect("postern runs");
        running.child.start_kill().unwrap();
        patiently("the end of postern", running.child.wait()).await.unwrap();
    }

    /// Waits for its end by itself.
    pub async fn crashed(&mut self) {
        let mut running = self.running.take().expect("postern runs");
        let status = patiently("the end of postern", running.child.wait()).await.unwrap();
        assert!(!status.success(), "postern stopped by itself");
    }

    /// SIGTERM, and waits for a clean end.
    pub async fn stop(&mut self) {
        let mut running = self.running.take().expect("postern runs");
        signal(program_below(running.child.id().expect("postern runs")), "TERM").await;
        let status = patiently("the end of postern", running.child.wait()).await.unwrap();
        assert!(status.success(), "postern stopped with {status}:\n{}", self.log.text());
    }

    /// Everything that it has logged so far.
    pub fn log(&self) -> String {
        self.log.text()
    }

    /// Waits until a line of the log contains `part`.
    pub async fn logged(&self, part: &str) -> String {
        self.logged_times(part, 1).await
    }

    /// Waits until so many lines of the log contain `part`; gives the last of them.
    pub async fn logged_times(&self, part: &str, times: usize) -> String {
        patiently(&format!("{part:?} in the log, {times} times"), self.log.find(part, times)).await
    }

    /// Runs a verb of the program against this one.
    pub async fn cli(&self, words: &[&str]) -> Output {
        self.cli_with(words, "").await
    }

    /// The same, with `input` on its stdin.
    pub async fn cli_with(&self, words: &[&str], input: &str) -> Output {
        self.cli_within(crate::PATIENCE, words, input).await
    }

    /// The same, for a verb that may take longer than an event.
    pub async fn cli_within(&self, patience: Duration, words: &[&str], input: &str) -> Output {
        let program = crate::program();
        let mut command = Command::new(program);
        command.args(words).arg("--config").arg(self.settings.file()).current_dir(crate::root());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().expect("postern starts");
        let mut stdin = child.stdin.take().unwrap();
        // A verb that needs no input may be gone already.
        stdin.write_all(input.as_bytes()).await.ok();
        drop(stdin);
        match tokio::time::timeout(patience, child.wait_with_output()).await {
            Ok(output) => output.unwrap(),
            Err(_) => panic!("gave up waiting for postern {}", words.join(" ")),
        }
    }

    /// Runs a verb that must succeed, and gives its stdout.
    pub async fn done(&self, words: &[&str]) -> String {
        self.done_within(crate::PATIENCE, words).await
    }

    /// The same, for a verb that may take longer than an event.
    pub async fn done_within(&self, patience: Duration, words: &[&str]) -> String {
        let output = self.cli_within(patience, words, "").await;
        assert!(output.status.success(), "postern {words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a verb with `--json`.
    pub async fn json(&self, words: &[&str]) -> Value {
        let mut words = words.to_vec();
        words.push("--json");
        serde_json::from_str(&self.done(&words).await).unwrap_or_else(|e| panic!("postern {words:?}: {e}"))
    }

    /// One value of /metrics: the sum over all labels that contain `label`.
    pub async fn metric(&self, name: &str, label: &str) -> f64 {
        crate::metric(&Page::get(self.address("health"), "/metrics").await.body, name, label)
    }
}

impl Drop for Postern {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- log of postern ---\n{}---", self.log.text());
        }
    }
}

/// The process itself, or the one that it traces.
fn program_below(id: u32) -> u32 {
    let name = std::fs::read_to_string(format!("/proc/{id}/comm")).unwrap_or_default();
    if name.trim() != "strace" {
        return id;
    }
    let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).expect("its children");
    children.split_whitespace().next().expect("a child of strace").parse().unwrap()
}

/// Sends a signal to one process, by its id.
pub(crate) async fn signal(id: u32, name: &str) {
    let status = Command::new("kill").arg(format!("-{name}")).arg(id.to_string()).status().await.unwrap();
    assert!(status.success(), "kill -{name} {id}");
}

/// What a process writes to stderr, as it comes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log {
    text: Arc<Mutex<String>>,
    more: Arc<Notify>,
}

impl Log {
    pub(crate) fn follow(
        &self,
        from: impl tokio::io::AsyncRead + Unpin + Send + 'static,
    ) -> tokio::task::JoinHandle<()> {
        let (log, mut lines) = (self.clone(), BufReader::new(from).lines());
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                let mut text = log.text.lock().unwrap();
                text.push_str(&line);
                text.push('\n');
                drop(text);
                log.more.notify_waiters();
            }
        })
    }

    pub(crate) fn text(&self) -> String {
        self.text.lock().unwrap().clone()
    }

    pub(crate) async fn find(&self, part: &str, times: usize) -> String {
        loop {
            let mut more = std::pin::pin!(self.more.notified());
            more.as_mut().enable();
            if let Some(line) = self.text().lines().filter(|line| line.contains(part)).nth(times - 1) {
                return line.to_owned();
            }
            more.await;
        }
    }
}
