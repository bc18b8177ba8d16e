//! The terminals of examples/ on the whole way: their own programs, the real server, crashes on both
//! sides.

use postern_tests::{Kind, Page, Postern, Requester, Settings, Terminal, Wire, metric, patiently};
use serde_json::Value;

async fn stage(change: impl FnOnce(&mut Settings)) -> (Postern, Requester) {
    let postern = Postern::start(change).await;
    let phone = postern.requester("alice", &["car-1"]).await;
    postern.user("car-1").await;
    (postern, phone)
}

async fn ends(phone: &Requester, id: &str) -> Value {
    let seen = async {
        loop {
            if let Ok(command) = phone.find(id).await
                && ["done", "failed", "unknown", "expired"].contains(&command["state"].as_str().unwrap())
            {
                return command;
            }
            tokio::task::yield_now().await;
        }
    };
    patiently("the end of the command", seen).await
}

fn short_stay(settings: &mut Settings) {
    settings.policy("plugins.encrypt-on-demand.config.idle_min_secs", 1);
    settings.policy("plugins.encrypt-on-demand.config.idle_max_secs", 1);
}

async fn there_and_back(kind: Kind) {
    let (postern, phone) = stage(short_stay).await;
    let wire = Wire::to(postern.address("tcp")).await;
    let port = wire.address().rsplit(':').next().unwrap().to_owned();
    let Some(mut car) = postern.start_terminal(kind, "car-1", &["--tcp-port", &port], &[]).await else {
        return postern_tests::not_run("the packages of examples/terminal-python are not installed");
    };
    car.is_on("plain").await;
    let id = phone.ask_for("car-1", "unlock").await;
    car.event_that("instruction", |event| event["followed"] == true && event["to"] == "tls").await;
    car.is_on("tls").await;
    let command = car.event("command").await;
    assert_eq!((&command["id"], &command["executed"]), (&Value::from(id.clone()), &Value::from(true)));
    let ended = ends(&phone, &id).await;
    assert_eq!((&ended["state"], &ended["result"]), (&"done".into(), &"door unlocked, lamp off".into()));
    car.did("token-renewed").await;
    car.event_that("instruction", |event| event["followed"] == true && event["to"] == "plain").await;
    car.is_on("plain").await;
    assert_eq!(car.acted("unlocked"), 1);
    let sniffed = [wire.up(), wire.down()].concat();
    assert!(sniffed.len() > 100 && !sniffed.windows(8).any(|bytes| bytes == b"unlocked"));
    assert!(!sniffed.windows(6).any(|bytes| bytes == b"unlock"));
    // Once more, with the token that was renewed.
    let id = phone.ask_for("car-1", "lock").await;
    assert_eq!(ends(&phone, &id).await["result"], "door locked, lamp off");
}

#[tokio::test]
async fn b10_b11_b12_the_rust_terminal_goes_there_and_back() {
    there_and_back(Kind::Rust).await;
}

#[tokio::test]
async fn b10_b11_b12_the_python_terminal_goes_there_and_back() {
    there_and_back(Kind::Python).await;
}

#[tokio::test]
async fn rule_5_with_tls_blocked_the_command_waits_and_nothing_goes_out_on_plain() {
    let (postern, phone) = stage(|_| {}).await;
    let wire = Wire::to(postern.address("tcp")).await;
    let port = wire.address().rsplit(':').next().unwrap().to_owned();
    // Nobody listens there.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let more = ["--tcp-port", &port, "--tls-port", &closed];
    let mut car = postern.start_terminal(Kind::Rust, "car-1", &more, &[]).await.unwrap();
    car.is_on("plain").await;
    let id = phone.ask_for("car-1", "unlock").await;
    car.event_that("failed", |event| event["what"] == "tls").await;
    car.is_on("plain").await;
    car.event_that("instruction", |event| event["followed"] == true).await;
    assert_eq!(phone.find(&id).await.unwrap()["state"], "waiting");
    assert!(!wire.down().windows(6).any(|bytes| bytes == b"unlock"));
    assert_eq!(car.acted(""), 0);
}

#[tokio::test]
async fn rule_3_a_wrong_certificate_is_refused_by_the_terminal() {
    let (postern, phone) = stage(|_| {}).await;
    let other = Postern::start(|_| {}).await;
    let port = other.address("tls").rsplit(':').next().unwrap().to_owned();
    let mut car = postern.start_terminal(Kind::Rust, "car-1", &["--tls-port", &port], &[]).await.unwrap();
    car.is_on("plain").await;
    phone.ask_for("car-1", "unlock").await;
    car.event_that("failed", |event| event["what"] == "tls").await;
    car.is_on("plain").await;
    assert_eq!(car.acted(""), 0);
}

#[tokio::test]
async fn b13_wherever_the_terminal_crashes_it_executes_at_most_once_and_reports() {
    // `terminal::CRASH_POINTS`, with what the requester may see in the end.
    let points = [
        ("instruction.followed", &["done"][..]),
        ("command.received", &["done"]),
        ("journal.begun", &["unknown"]),
        ("acknowledged.sent", &["done", "unknown"]),
        ("command.executed", &["unknown"]),
        ("journal.finished", &["done"]),
        ("result.sent", &["done", "unknown"]),
        ("journal.reported", &["done", "unknown"]),
    ];
    assert_eq!(points.map(|(point, _)| point), *terminal::CRASH_POINTS);
    let (postern, phone) = stage(|_| {}).await;
    for (point, may_end) in points {
        let crash = [("TERMINAL_CRASH_AT", point)];
        let mut first = postern.start_terminal(Kind::Rust, "car-1", &[], &crash).await.unwrap();
        first.is_on("plain").await;
        let id = phone.ask_for("car-1", "unlock").await;
        first.ended().await;
        let mut second = postern.start_terminal(Kind::Rust, "car-1", &[], &[]).await.unwrap();
        let state = ends(&phone, &id).await["state"].as_str().unwrap().to_owned();
        assert!(may_end.contains(&&*state), "{point}: {state}");
        second.kill().await;
        let acted = first.acted("unlocked") + second.acted("unlocked");
        assert!(acted == 1 || (acted == 0 && state == "unknown"), "{point}: executed {acted} times, {state}");
    }
}

#[tokio::test]
async fn b13_wherever_the_server_crashes_a_command_is_executed_at_most_once_and_its_result_known() {
    let (mut postern, mut phone) = stage(short_stay).await;
    // Its list of them: a new one is tried here without a word.
    let source =
        std::fs::read_to_string(postern_tests::root().join("host/server/src/command/crash.rs")).unwrap();
    let points: Vec<&str> =
        source.lines().filter_map(|l| l.trim().strip_prefix('"')?.strip_suffix("\",")).collect();
    assert!(points.len() >= 8, "{points:?}");
    for point in points {
        postern.stop().await;
        postern.settings().environment.insert("CRASH_AT".to_owned(), point.to_owned());
        postern.restart().await;
        phone.follows(&postern);
        let mut car = on_plain(&postern).await;
        let asked = phone.ask(request(point)).await;
        postern.crashed().await;
        postern.settings().environment.remove("CRASH_AT");
        postern.restart().await;
        phone.follows(&postern);
        // The listeners have other ports now: the terminal is started anew, as it would be after a drive.
        car.kill().await;
        let mut again = on_plain(&postern).await;
        // Asked again under its name, whether or not the first was saved.
        let id = match asked {
            Ok(command) => command["id"].as_str().unwrap().to_owned(),
            Err(_) => phone.ask(request(point)).await.unwrap()["id"].as_str().unwrap().to_owned(),
        };
        let state = ends(&phone, &id).await["state"].clone();
        assert!(state == "done" || state == "unknown", "{point}: {state}");
        again.kill().await;
        let acted = car.acted("unlocked") + again.acted("unlocked");
        assert!(acted == 1 || (acted == 0 && state == "unknown"), "{point}: executed {acted} times, {state}");
    }
}

fn request(point: &str) -> Value {
    serde_json::json!({ "terminal": "car-1", "class": "remote-control", "body": "unlock", "key": point })
}

async fn on_plain(postern: &Postern) -> Terminal {
    let mut car = postern.start_terminal(Kind::Rust, "car-1", &[], &[]).await.unwrap();
    car.event("query-taken").await;
    car
}

#[tokio::test]
async fn the_python_terminal_agrees_with_the_vectors() {
    let Some(python) = postern_tests::python() else {
        return postern_tests::not_run("the packages of examples/terminal-python are not installed");
    };
    let check = postern_tests::root().join("examples/terminal-python/check_vectors.py");
    let checked = tokio::process::Command::new(python).arg(check).output();
    let checked = patiently("the check of the vectors", checked).await.unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}

#[tokio::test]
async fn switches_and_commands_are_counted() {
    let (postern, phone) = stage(|_| {}).await;
    let mut car = on_plain(&postern).await;
    let id = phone.ask_for("car-1", "unlock").await;
    car.is_on("tls").await;
    ends(&phone, &id).await;
    let page = Page::get(postern.address("health"), "/metrics").await.body;
    assert_eq!(metric(&page, "postern_instructions_total", "tls"), 1.0);
    assert_eq!(metric(&page, "postern_tls_handshakes_total", "full"), 1.0);
    for state in ["accepted", "waiting", "sent", "done"] {
        assert_eq!(metric(&page, "postern_commands_total", state), 1.0, "{state}");
    }
}

#[tokio::test]
async fn b15_what_a_terminals_links_carry_and_save_is_counted_over_a_restart() {
    let (mut postern, phone) = stage(short_stay).await;
    let mut car = on_plain(&postern).await;
    for (trip, handshake) in [(1, "full"), (2, "resumed")] {
        let id = phone.ask_for("car-1", "unlock").await;
        car.is_on("tls").await;
        ends(&phone, &id).await;
        car.is_on("plain").await;
        let shown = postern.json(&["client", "show", "unit", "--user", "car-1"]).await;
        assert_eq!(shown["terminal"]["switches"], 2 * trip);
        assert_eq!(shown["terminal"][format!("{handshake}_handshakes")], 1, "{shown}");
        assert_eq!(postern.metric("postern_terminal_switches_total", "tls").await, f64::from(trip));
    }
    let told = postern.done(&["client", "show", "unit", "--user", "car-1"]).await;
    assert!(told.contains("switches    4") && told.contains("1 full, 1 resumed"), "{told}");
    let before = postern.json(&["status"]).await["terminals"].clone();
    assert_eq!((&before["plain"], &before["tls"]), (&1.into(), &0.into()));
    let count = |of: &Value, what: &str| of[what].as_i64().unwrap();
    // A handshake weighs more than a few records.
    assert!(count(&before, "saved_bytes") < 0, "{before}");
    assert!(count(&before, "tls_bytes") > 4_000 && count(&before, "plain_bytes") > 1_000, "{before}");
    let all = count(&before, "plain_bytes") + count(&before, "tls_bytes");
    assert_eq!(count(&before, "always_tls_bytes"), all + count(&before, "saved_bytes"));
    let spared = postern.metric("postern_terminal_bytes_spared_total", "").await;
    assert!(spared > 0.0 && spared % 22.0 == 0.0, "{spared}");

    drop(car);
    postern.stop().await;
    postern.restart().await;
    let after = postern.json(&["status"]).await["terminals"].clone();
    assert_eq!((count(&after, "switches"), count(&after, "plain")), (4, 0));
    assert!(count(&after, "plain_bytes") >= count(&before, "plain_bytes"), "{after}");
    assert_eq!(count(&after, "tls_bytes"), count(&before, "tls_bytes"));
}
