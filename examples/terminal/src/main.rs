//! A car's door and lamp.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use clap::Parser;
use terminal::{Actor, Event, Events, Provisioning, Terminal, credential};

/// Stays on plain TCP, comes in through TLS when instructed, executes commands: `unlock`, `lock`, `lamp on`,
/// `lamp off`, `status`.
#[derive(Parser)]
#[command(name = "terminal")]
struct Arguments {
    /// The login server, such as https://127.0.0.1:8443
    #[arg(long)]
    server: String,
    /// Trust the certificates in this PEM file and no others
    #[arg(long)]
    ca: PathBuf,
    /// User id: the terminal's
    #[arg(long)]
    user: String,
    /// This device's id: the MQTT client id
    #[arg(long)]
    client_id: String,
    /// A file with the password on its first line, for a terminal that is not enrolled
    #[arg(long)]
    password_file: Option<PathBuf>,
    /// The folder for key, token, counter and journal
    #[arg(long)]
    state: PathBuf,
    /// Make the key pair if there is none, print the public key for the operator to register, and end
    #[arg(long)]
    enrol: bool,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
    /// Use this port for the listener tcp, not the login's
    #[arg(long)]
    tcp_port: Option<u16>,
    /// Use this port for the listener tls, not the login's
    #[arg(long)]
    tls_port: Option<u16>,
    /// The first wait after a failure, milliseconds
    #[arg(long, default_value_t = 1000)]
    back_off_ms: u64,
    /// How long door and lamp take to act, milliseconds
    #[arg(long, default_value_t = 0)]
    act_ms: u64,
    /// Keep alive, seconds
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u16).range(5..))]
    keep_alive: u16,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> std::io::Result<()> {
    if arguments.enrol {
        return writeln!(std::io::stdout(), "{}", credential::enrol(&arguments.state)?);
    }
    let json = arguments.json;
    let events = Events::new(move |event| print(event, json));
    let act = Duration::from_millis(arguments.act_ms);
    let car = Car { act, events: events.clone(), doors: Mutex::new(Doors { locked: true, lamp: false }) };
    let provisioning = Provisioning {
        ca_pem: std::fs::read(&arguments.ca)?,
        server: arguments.server,
        user: arguments.user,
        client_id: arguments.client_id,
        password_file: arguments.password_file,
        state: arguments.state,
        tcp_port: arguments.tcp_port,
        tls_port: arguments.tls_port,
        back_off_ms: arguments.back_off_ms,
        keep_alive_secs: arguments.keep_alive,
    };
    Terminal::new(provisioning, car, events)?.run().await
}

/// One line: tests and people wait for it.
fn print(event: &Event, json: bool) {
    let Ok(value) = serde_json::to_value(event) else { return };
    let line = if json { value.to_string() } else { words(&value) };
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).ok();
}

/// `signed-in resumed=true transport=tls`
fn words(event: &serde_json::Value) -> String {
    let mut line = event["event"].as_str().unwrap_or_default().to_owned();
    for (name, value) in event.as_object().into_iter().flatten() {
        match value {
            serde_json::Value::Null => {}
            _ if name == "event" => {}
            serde_json::Value::String(text) => line.push_str(&format!(" {name}={text}")),
            other => line.push_str(&format!(" {name}={other}")),
        }
    }
    line
}

/// What the commands move.
struct Doors {
    locked: bool,
    lamp: bool,
}

struct Car {
    act: Duration,
    events: Events,
    doors: Mutex<Doors>,
}

impl Actor for Car {
    async fn execute(&self, _class: &str, body: &[u8]) -> Result<Vec<u8>, Vec<u8>> {
        tokio::time::sleep(self.act).await;
        let mut doors = self.doors.lock().unwrap_or_else(PoisonError::into_inner);
        match body {
            b"unlock" => doors.locked = false,
            b"lock" => doors.locked = true,
            b"lamp on" => doors.lamp = true,
            b"lamp off" => doors.lamp = false,
            b"status" => {}
            _ => return Err(b"no such command".to_vec()),
        }
        let door = if doors.locked { "locked" } else { "unlocked" };
        let lamp = if doors.lamp { "on" } else { "off" };
        let what = format!("door {door}, lamp {lamp}");
        self.events.tell(&Event::Acted { what: what.clone() });
        Ok(what.into_bytes())
    }
}
