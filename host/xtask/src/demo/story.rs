//! What happens: two people on a phone and a PC, a partner, an intruder, a car, and a crash.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use super::Teller;
use super::cast::{Actor, Place};
use super::road::Road;
use crate::server::{self, Listeners, Server};
use crate::{sh, up};

const LISTENERS: Listeners = &[
    ("tcp", "127.0.0.1:0"),
    ("tls", "127.0.0.1:0"),
    ("http", "127.0.0.1:0"),
    ("admin", "unix:target/demo/admin.sock"),
    ("health", "127.0.0.1:0"),
];

/// What a plugin of the story is granted, beside what the default policy says.
const POLICY: &str = "
[plugins.classify-wordlist]
grants = ['log', 'config']

[plugins.classify-wordlist.config]
mask = ['falcon']
";

/// Tells it; the first step that does not end as it should is the error.
pub(crate) fn tell(teller: &mut Teller, root: &Path, folder: &Path, plugins: &Path) -> Result<()> {
    let log = folder.join("postern.log");
    let place = Place { root, folder };
    let typed = Some(up::PASSWORD);

    teller.step(
        "The server starts on free ports, with fresh data; every rule in it is a WebAssembly component",
    );
    let config = server::write_config(root, folder, plugins, POLICY, LISTENERS)?;
    std::fs::write(&log, "").with_context(|| format!("cannot write {}", log.display()))?;
    let begun = Instant::now();
    let server = Server::start(root, &config, LISTENERS, Some(&log))?;
    teller.note(&format!("ready after {}", sh::human(begun.elapsed())));
    teller.note(&server.cli(&["plugin", "list"], "")?);

    teller.step("The operator adds Alice and Bob of acme, and Carol of globex, which supplies acme");
    up::add_people(&server)?;
    teller.step("A car makes a key pair; its public key is registered, the private one never leaves it");
    let key = up::enrol(&server, &mut place.car(&server)?)?;
    teller.note(&format!("the car prints {key}"));
    teller.note(&server.cli(&["user", "list"], "")?);

    teller.step(
        "Alice's phone logs in over HTTPS: profile, directory and token come after the password, not before",
    );
    let mut alice = place.enter(&server, "alice", "alice-phone", typed, &[])?;
    alice.sees("logged in as Alice")?;
    alice.sees("directory: carol")?;
    teller
        .step("...and signs in over MQTT by a proof derived from the token (the token itself stays at home)");
    alice.sees("signed in as alice on tls")?;

    teller.step("Bob's PC does the same; Alice sees him come");
    let mut bob = place.enter(&server, "bob", "bob-pc", typed, &[])?;
    bob.sees("signed in as bob on tls")?;
    alice.sees("bob is online")?;

    teller.step("They chat: a message is on disk before its sender is told, and forwarded at once");
    alice.says("bob: hello from the phone")?;
    alice.sees("stored: hello from the phone")?;
    bob.sees("[alice] hello from the phone")?;
    bob.says("alice: hello from the PC")?;
    alice.sees("[bob] hello from the PC")?;

    teller.step("Carol, of a partner organisation, writes to Alice; Alice's tablet sees what her phone sees");
    let tablet = place.enter(&server, "alice", "alice-tablet", typed, &[])?;
    tablet.sees("signed in as alice")?;
    let mut carol = place.enter(&server, "carol", "carol-phone", typed, &[])?;
    carol.sees("signed in as carol")?;
    carol.says("alice: the parts are on their way")?;
    alice.sees("[carol] the parts are on their way")?;
    tablet.sees("[carol] the parts are on their way")?;
    tablet.leaves()?;
    carol.leaves()?;

    teller.step("Bob goes; what is sent to him meanwhile is kept, and is there when he comes back");
    bob.leaves()?;
    alice.sees("bob is offline")?;
    alice.says("bob: for when you are back")?;
    alice.sees("stored: for when you are back")?;
    let mut bob = place.enter(&server, "bob", "bob-pc", None, &[])?;
    bob.sees("still logged in")?;
    bob.sees("[alice] for when you are back")?;
    alice.sees("bob is online")?;

    teller.step("An intruder guesses a password; a phone on plain TCP signs in, but may not chat there");
    let intruder = place.enter(&server, "alice", "mallorys-phone", Some("a guess"), &[])?;
    intruder.sees("login refused")?;
    intruder.gives_up()?;
    let mut plain = place.enter(&server, "alice", "alice-car", typed, &["--listener", "tcp"])?;
    plain.sees("signed in as alice on tcp")?;
    plain.says("bob: over the open road")?;
    plain.sees("refused (NotAuthorized)")?;
    plain.leaves()?;

    swap(teller, &place, plugins, &server, &mut alice, &bob)?;
    car(teller, &place, &server, &mut alice)?;

    teller.step("The figures so far");
    figures(teller, &server, folder)?;

    teller.step("The server is killed in the middle of everything (SIGKILL), and started again");
    let listeners = server.where_it_listens()?;
    let listeners: Vec<(&str, &str)> =
        listeners.iter().map(|(name, at)| (name.as_str(), at.as_str())).collect();
    server::write_config(root, folder, plugins, POLICY, &listeners)?;
    alice.says("bob: just before the crash")?;
    alice.sees("stored: just before the crash")?;
    server.kill()?;
    let begun = Instant::now();
    let server = Server::start(root, &config, &listeners, Some(&log))?;
    teller.note(&format!("ready again after {}", sh::human(begun.elapsed())));
    alice.sees("signed in as alice on tls")?;
    bob.sees("signed in as bob on tls")?;

    teller.step("The devices have come back by themselves; nothing that was acknowledged is missing");
    alice.says("bob: and after it")?;
    bob.sees("[alice] and after it")?;
    bob.says("/history alice")?;
    for text in
        ["hello from the phone", "hello from the PC", "for when you are back", "just before the crash"]
    {
        bob.sees(text)?;
    }
    bob.sees("history with alice: 8 messages")?;
    alice.leaves()?;
    bob.leaves()?;

    teller.step("The server stops in order");
    server.stop()
}

/// A rule is changed under a live chat, and changed back.
fn swap(
    teller: &mut Teller,
    place: &Place<'_>,
    plugins: &Path,
    server: &Server,
    alice: &mut Actor,
    bob: &Actor,
) -> Result<()> {
    let sign_ins = server.metric("postern_plugin_calls_total", "role=\"token\"")?;
    teller.step("The word \"falcon\" is to be masked from now on: a plugin for that is dropped into the folder, and tried out");
    alice.says("bob: falcon lands at noon")?;
    bob.sees("[alice] falcon lands at noon")?;
    let component = place.root.join("target/plugins-examples/classify-wordlist.wasm");
    std::fs::copy(&component, plugins.join("classify-wordlist.wasm"))?;
    teller.note(&server.cli(&["plugin", "validate", "classify-wordlist"], "")?);

    teller.step("It is activated; the next message is decided by it");
    let begun = Instant::now();
    teller.note(&server.cli(&["plugin", "activate", "classify-wordlist"], "")?);
    alice.says("bob: falcon lands at one")?;
    bob.sees("[alice] ****** lands at one")?;
    teller.note(&format!("from the command to the first masked message: {}", sh::human(begun.elapsed())));

    teller.step("It is rolled back by one word, and nobody was disconnected");
    teller.note(&server.cli(&["plugin", "rollback", "classify-wordlist"], "")?);
    alice.says("bob: falcon lands at two")?;
    bob.sees("[alice] falcon lands at two")?;
    ensure!(
        server.metric("postern_plugin_calls_total", "role=\"token\"")? == sign_ins,
        "somebody had to sign in again"
    );
    teller.note(&server.cli(&["plugin", "list"], "")?);
    Ok(())
}

/// Encrypt on demand, seen from both ends and from the road between them.
fn car(teller: &mut Teller, place: &Place<'_>, server: &Server, alice: &mut Actor) -> Result<()> {
    teller.step("The car logs in by its key and parks on plain TCP; somebody records all that passes there");
    let road = Road::to(server.address("tcp")?)?;
    let car = place.drives(server, road.port())?;
    car.sees("logged-in")?;
    car.sees("query-taken transport=plain")?;

    teller
        .step("Alice's phone asks to unlock it: the command is kept, the car is told to come in through TLS");
    let begun = Instant::now();
    alice.says(&format!("/ask {} remote-control unlock", up::CAR))?;
    car.sees("signed-in")?;
    car.sees("acted what=door unlocked")?;
    alice.sees(&format!("[command] {}: done", up::CAR))?;
    teller.note(&format!("from the request to the result: {}", sh::human(begun.elapsed())));

    teller.step("No command came for a while, so the car is told to go back to plain TCP");
    car.sees("query-taken transport=plain")?;
    ensure!(!road.has_seen(b"unlock"), "the command passed on plain");
    teller.note(&format!("{} bytes passed on the open road; \"unlock\" was not among them", road.length()));
    Ok(())
}

/// What it has cost until now, from /metrics and from the system.
fn figures(teller: &Teller, server: &Server, folder: &Path) -> Result<()> {
    let count = |name: &str, label: &str| server.metric(name, label);
    for role in ["login", "token", "classify", "store"] {
        let calls = count("postern_plugin_calls_total", &format!("role=\"{role}\""))?;
        teller.note(&format!("{calls:6} calls of the role {role}"));
        ensure!(calls > 0.0, "the role {role} was never asked");
    }
    let (logins, refused) =
        (count("postern_logins_total", "\"ok\"")?, count("postern_logins_total", "\"denied\"")?);
    let hashed = count("postern_argon2_total", "")?;
    teller.note(&format!(
        "{logins:6} logins, {refused} refused; {hashed} argon2 computations, those of `user add` included"
    ));
    let sent_away = count("postern_refused_total", "")?;
    teller.note(&format!("{sent_away:6} packets or sign-ins refused"));
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.id()))?;
    let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("unknown").trim();
    let disk = std::fs::metadata(folder.join("data/postern.db")).map_or(0, |file| file.len() / 1024);
    teller.note(&format!("{memory} of memory; {disk} kB of database beside its log"));
    Ok(())
}
