//! `cargo xtask up`: the whole thing on the default ports, with people to be.

use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::server::{self, Listeners, Server};
use crate::{plugins, sh};

const LISTENERS: Listeners = &[
    ("tcp", "127.0.0.1:1883"),
    ("tls", "127.0.0.1:8883"),
    ("ws", "127.0.0.1:8083"),
    ("wss", "127.0.0.1:8084"),
    ("http", "127.0.0.1:8443"),
    ("admin", "unix:target/up/admin.sock"),
    ("health", "127.0.0.1:8080"),
];

/// Who is who in the demonstrations: user, name, organisation.
pub(crate) const PEOPLE: &[(&str, &str, &str)] =
    &[("alice", "Alice Adler", "acme"), ("bob", "Bob Brandt", "acme"), ("carol", "Carol Chen", "globex")];

/// The car that alice and bob may unlock: the members of the group of its name.
pub(crate) const CAR: &str = "car-1";

/// The password of everybody in the demonstrations.
pub(crate) const PASSWORD: &str = "postern-demo";

/// Builds, serves, adds the demo users, and waits for Ctrl-C.
pub(crate) fn run(root: &Path) -> Result<ExitCode> {
    plugins::build_all(root, false).context("the plugins do not build")?;
    sh::build_workspace(root)?;

    let folder = root.join("target/up");
    let config = server::write_config(root, &folder, &root.join("target/plugins"), "", LISTENERS)?;
    let mut signals = Signals::new([SIGINT, SIGTERM]).context("cannot listen for signals")?;
    let mut server = Server::start(root, &config, LISTENERS, None)?;
    let id = server.id();
    std::thread::spawn(move || {
        // Ctrl-C reaches the server too, which is in our process group: it drains, and we wait.
        for signal in signals.forever() {
            if signal == SIGTERM {
                server::terminate(id).ok();
            }
        }
    });

    add_people(&server)?;
    enrol(&server, &mut car(root, &server, &folder.join("data"), &folder.join("car"))?)?;
    for (name, _) in LISTENERS {
        println!("listening {name} {}", server.address(name)?);
    }
    println!("{}", tour(&config));
    let status = server.wait()?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Makes the demo users (those that are there already are only brought up to date).
pub(crate) fn add_people(server: &Server) -> Result<()> {
    for (user, name, org) in PEOPLE {
        let mut words = vec!["user", "add", user, "--name", name, "--org", org, "--password-stdin"];
        if *org == "acme" {
            words.extend(["--group", CAR]);
        }
        server.cli(&words, &format!("{PASSWORD}\n")).with_context(|| format!("cannot add {user}"))?;
    }
    server
        .cli(&["partner", "add", "acme", "globex", "--relation", "upstream"], "")
        .context("cannot add a partner")?;
    Ok(())
}

/// The car's program, as it is started each time.
pub(crate) fn car(root: &Path, server: &Server, data: &Path, state: &Path) -> Result<Command> {
    let mut car = Command::new(root.join(sh::PROGRAMS).join("terminal"));
    car.arg("--server").arg(format!("https://{}", server.address("http")?));
    car.arg("--ca").arg(data.join("development-ca.pem"));
    car.args(["--user", CAR, "--client-id", "unit"]).arg("--state").arg(state);
    Ok(car)
}

/// Has the car make its key pair, and registers the public key: the private one stays where it is.
pub(crate) fn enrol(server: &Server, car: &mut Command) -> Result<String> {
    let key = sh::output(car.arg("--enrol")).context("the car makes no key pair")?;
    let words = ["user", "add", CAR, "--name", "Car 1", "--org", "acme", "--key", &key];
    server.cli(&words, "").with_context(|| format!("cannot add {CAR}"))?;
    Ok(key)
}

fn tour(config: &Path) -> String {
    let config = config.display();
    format!(
        "
Postern serves. Users: alice and bob (acme), carol (globex, a partner); password of each: {PASSWORD}
{CAR} logs in by a key pair: the private key is target/up/car/key, the public one is registered

  Chat, in two terminals:
    target/debug/phone --server https://127.0.0.1:8443 --ca target/up/data/development-ca.pem --user alice --client-id alice-phone
    target/debug/phone --server https://127.0.0.1:8443 --ca target/up/data/development-ca.pem --user bob --client-id bob-pc
    then type:  bob: hello     /history bob     /who     /quit

  A car on plain TCP, which comes in through TLS when it must; then type as alice:  /ask {CAR} remote-control unlock
    target/debug/terminal --server https://127.0.0.1:8443 --ca target/up/data/development-ca.pem --user {CAR} --client-id unit --state target/up/car

  Look at it:
    target/debug/postern plugin list --config {config}
    target/debug/postern client list --config {config}
    curl http://127.0.0.1:8080/metrics

Ctrl-C stops."
    )
}
