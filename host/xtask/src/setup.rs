//! What the tests need that cargo does not bring: Debian packages, and clients from PyPI and npm.
//!
//! Quick when all is there. Where something cannot be had, it is named with the command to type, and
//! the tests that need it list themselves as not run (see `test.rs`).

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::sh;

/// A Debian package and how to see that it is there.
struct Package {
    name: &'static str,
    there: fn() -> bool,
}

const PACKAGES: &[Package] = &[
    Package { name: "mosquitto-clients", there: || sh::has("mosquitto_pub") && sh::has("mosquitto_sub") },
    Package { name: "nats-server", there: || sh::has("nats-server") },
    Package { name: "postgresql", there: has_postgres },
    Package { name: "strace", there: || sh::has("strace") },
    Package { name: "nodejs", there: || sh::has("node") },
    Package { name: "npm", there: || sh::has("npm") },
    Package { name: "openssl", there: || sh::has("openssl") },
    Package { name: "python3", there: || sh::has("python3") },
    Package { name: "python3-venv", there: has_venv },
    Package { name: "systemd", there: || sh::has("systemd-analyze") },
    // For the container image.
    Package { name: "podman", there: || sh::has("podman") },
    Package { name: "runc", there: || sh::has("runc") },
    Package { name: "containernetworking-plugins", there: || Path::new("/usr/lib/cni/bridge").is_file() },
    Package { name: "iptables", there: || sh::has("iptables") },
    Package { name: "debootstrap", there: || sh::has("debootstrap") },
];

/// For plugins in C.
const C_PLUGINS: &[Package] = &[
    Package { name: "clang", there: || sh::has("clang") },
    Package { name: "lld", there: || sh::has("wasm-ld") },
    Package { name: "wasi-libc", there: || Path::new("/usr/lib/wasm32-wasi/libc.a").is_file() },
];

/// For `cargo xtask bench` only: its package starts a broker on port 1883 where systemd runs.
const PEERS: &[Package] = &[Package { name: "mosquitto", there: || sh::has("mosquitto") }];

/// What the clients and the terminal in Python need, pinned there.
const PYTHON: &str = "examples/terminal-python/requirements.txt";
/// A client that is not ours, pinned.
const MQTT_JS: &str = "mqtt@5.14.1";

/// Brings what the tests need.
pub(crate) fn for_tests(root: &Path) -> Result<()> {
    debian(PACKAGES);
    let foreign = root.join("target/foreign");
    std::fs::create_dir_all(&foreign).context("cannot make target/foreign")?;
    told(python(root, &foreign));
    told(node(&foreign));
    Ok(())
}

/// Brings what plugins in C are made with.
pub(crate) fn for_c_plugins() {
    debian(C_PLUGINS);
}

/// Brings the peers that the benchmark compares with.
pub(crate) fn for_bench() {
    debian(PEERS);
}

/// Installs the packages that are missing, or says how to.
fn debian(packages: &[Package]) {
    let missing: Vec<&str> = packages.iter().filter(|p| !(p.there)()).map(|p| p.name).collect();
    if missing.is_empty() {
        return;
    }
    let by_hand = format!("apt-get install -y --no-install-recommends {}", missing.join(" "));
    if !is_root() || !sh::has("apt-get") {
        println!("Missing for some tests; to install, type: sudo {by_hand}");
        return;
    }
    println!("Installing Debian packages (up to 160 MB): {}", missing.join(" "));
    told(apt(&["update", "-qq"]).and_then(|()| {
        let mut words = vec!["install", "-y", "-qq", "--no-install-recommends"];
        words.extend(&missing);
        apt(&words)
    }));
}

fn apt(words: &[&str]) -> Result<()> {
    let mut command = Command::new("apt-get");
    command.args(words).env("DEBIAN_FRONTEND", "noninteractive");
    sh::run(&format!("apt-get {}", words.join(" ")), &mut command)
}

/// paho-mqtt, and what the terminal in Python needs beside it, in a virtual environment of their own.
fn python(root: &Path, foreign: &Path) -> Result<()> {
    venv(&foreign.join("python"), &root.join(PYTHON))
}

/// A virtual environment with the packages of a requirements.txt.
pub(crate) fn venv(home: &Path, list: &Path) -> Result<()> {
    let packages = std::fs::read_to_string(list).with_context(|| list.display().to_string())?;
    if is_stamped(home, &packages) {
        return Ok(());
    }
    println!("Fetching the packages of {} from PyPI into {}", list.display(), home.display());
    sh::run("python3 -m venv", Command::new("python3").args(["-m", "venv", "--clear"]).arg(home))?;
    let mut pip = Command::new(home.join("bin/python"));
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"]).arg(list);
    sh::run("pip install", &mut pip)?;
    stamp(home, &packages)
}

/// mqtt.js in a folder of its own.
fn node(foreign: &Path) -> Result<()> {
    let home = foreign.join("node");
    if is_stamped(&home, MQTT_JS) {
        return Ok(());
    }
    println!("Fetching {MQTT_JS} from npm (4 MB) into target/foreign/node");
    std::fs::create_dir_all(&home)?;
    let mut npm = Command::new("npm");
    npm.args(["install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"]).arg(&home);
    sh::run("npm install", npm.arg(MQTT_JS))?;
    stamp(&home, MQTT_JS)
}

/// A file that names what is installed, so that a half-done install is done again.
pub(crate) fn stamp(home: &Path, what: &str) -> Result<()> {
    std::fs::write(home.join(".installed"), what).context("cannot write the install's stamp")
}

pub(crate) fn is_stamped(home: &Path, what: &str) -> bool {
    std::fs::read_to_string(home.join(".installed")).is_ok_and(|found| found == what)
}

/// A failed install is no reason to run no test at all: those that need it tell.
fn told(result: Result<()>) {
    if let Err(error) = result {
        eprintln!("setup: {error:#}");
    }
}

fn is_root() -> bool {
    sh::output(Command::new("id").arg("-u")).is_ok_and(|id| id == "0")
}

/// Debian keeps the server's programs off the path.
fn has_postgres() -> bool {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    versions.map(|v| v.path().join("bin/postgres")).any(|p| p.is_file()) || sh::has("postgres")
}

fn has_venv() -> bool {
    sh::output(Command::new("python3").args(["-c", "import ensurepip, venv"])).is_ok()
}
