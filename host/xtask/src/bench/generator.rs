//! The generator: `load` of the tests' crate, a line of JSON for each request and each answer.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// A running generator; ends with its stdin.
pub(crate) struct Generator {
    child: Child,
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Generator {
    pub(crate) fn start(root: &Path) -> Result<Self> {
        let program = root.join(super::RELEASE).join("load");
        let mut child = Command::new(&program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let requests = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().context("no stdout")?);
        Ok(Generator { child, requests, answers })
    }

    /// Asks and waits.
    pub(crate) fn ask(&mut self, request: &Value) -> Result<Value> {
        let stdin = self.requests.as_mut().context("no stdin")?;
        writeln!(stdin, "{request}").context("the generator is gone")?;
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        let answer: Value = serde_json::from_str(&line).context("the generator is gone")?;
        if let Some(error) = answer.get("error").and_then(Value::as_str) {
            bail!("{}: {error}", request["ask"].as_str().unwrap_or_default());
        }
        Ok(answer)
    }
}

impl Drop for Generator {
    fn drop(&mut self) {
        self.requests = None;
        self.child.wait().ok();
    }
}
