//! A phone or a PC at the terminal: logs in over HTTPS, signs in by proof, chats.

mod chat;
mod screen;

use std::io::{BufRead, IsTerminal, Write};
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};
use clap::Parser;
use phone::{Api, Device};

/// Logs in, chats, shows presence and history.
#[derive(Parser)]
#[command(name = "phone")]
struct Arguments {
    /// The login server, such as https://127.0.0.1:8443
    #[arg(long)]
    server: String,
    /// Trust the certificates in this PEM file and no others
    #[arg(long)]
    ca: PathBuf,
    /// User id
    #[arg(long)]
    user: String,
    /// This device's id: the MQTT client id
    #[arg(long)]
    client_id: String,
    /// The listener to sign in on. On plain TCP the default policy lets nobody chat
    #[arg(long, default_value = "tls", value_parser = ["tcp", "tls"])]
    listener: String,
    /// Where token and counter are kept [default: ~/.local/state/postern-phone]
    #[arg(long)]
    state: Option<PathBuf>,
    /// Log in anew even if the token kept from the last time is still good
    #[arg(long)]
    login: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<()> {
    let file = &arguments.ca;
    let ca = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let api = Api::new(&arguments.server, Some(&ca))?;
    let device = tokio::task::block_in_place(|| device(&api, &arguments))?;
    chat::run(api, device, &arguments.listener, &ca).await
}

/// The device as it was left, or after a login.
fn device(api: &Api, arguments: &Arguments) -> Result<Device> {
    let folder = arguments.state.clone().unwrap_or_else(default_state);
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let file = folder.join(format!("{}@{}.json", arguments.user, arguments.client_id.replace('/', "_")));
    let kept = Device::load(&file).filter(|_| !arguments.login);
    if let Some(device) = kept {
        screen::say(&format!("still logged in as {}", device.login().profile.name));
        return Ok(device);
    }
    let password = password(&arguments.user)?;
    let login = api.login(&arguments.user, &password, &arguments.client_id).context("login refused")?;
    screen::logged_in(&login);
    Device::new(&file, &arguments.client_id, login).context("cannot keep the token")
}

/// One line of stdin; at a terminal, asked for and not shown.
fn password(user: &str) -> Result<String> {
    let stdin = std::io::stdin();
    let asked = stdin.is_terminal();
    if asked {
        print!("Password of {user}: ");
        std::io::stdout().flush()?;
        Command::new("stty").arg("-echo").status().ok();
    }
    let mut line = String::new();
    let read = stdin.lock().read_line(&mut line);
    if asked {
        Command::new("stty").arg("echo").status().ok();
        println!();
    }
    read.context("cannot read the password")?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// Where XDG puts such things.
fn default_state() -> PathBuf {
    let base = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from);
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".local/state");
    base.unwrap_or_else(home).join("postern-phone")
}
