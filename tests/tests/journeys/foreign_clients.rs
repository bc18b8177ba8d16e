//! Clients that are not ours: mosquitto, paho-mqtt, mqtt.js and rumqttc, over TLS with a token each.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use postern_tests::{Device, Postern, not_run, patiently};
use rumqttc::{Event, Packet, QoS, TlsConfiguration, Transport};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// A program that has signed in and prints a line `TOPIC BODY` for each message it gets.
struct Client {
    _child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Client {
    fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("it starts");
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Client { _child: child, lines }
    }

    async fn line(&mut self, that: &str) {
        loop {
            let line = patiently(that, self.lines.next_line()).await.unwrap();
            let line = line.unwrap_or_else(|| panic!("the client ended before {that}"));
            if line.contains(that) {
                return;
            }
        }
    }
}

/// Where a client is to go, and as whom.
struct Account {
    host: String,
    port: u16,
    ca: PathBuf,
    device: Device,
}

impl Account {
    async fn of(postern: &Postern, user: &str, listener: &str) -> Self {
        let device = postern.device(user, &format!("{user}-device")).await;
        let broker = device.state.login().broker(listener).unwrap().clone();
        let host = if broker.host.is_empty() { "127.0.0.1".to_owned() } else { broker.host };
        Account { host, port: broker.port, ca: postern.data().join("development-ca.pem"), device }
    }

    /// The same words for each of the programs in tests/foreign.
    fn words(&self) -> Vec<String> {
        let token = &self.device.state.login().token;
        let ca = self.ca.display().to_string();
        vec![
            self.host.clone(),
            self.port.to_string(),
            ca,
            self.device.state.client_id().to_owned(),
            token.id.clone(),
            token.bearer.clone(),
        ]
    }
}

/// The options of mosquitto_pub and mosquitto_sub.
fn mosquitto(program: &str, account: &Account, words: &[&str]) -> Command {
    // It keeps what it prints to itself unless somebody looks: line by line, please.
    let mut command = Command::new("stdbuf");
    let w = account.words();
    command.args(["-oL", program]).args([
        "-h", &w[0], "-p", &w[1], "--cafile", &w[2], "-i", &w[3], "-u", &w[4], "-P", &w[5], "-q", "1",
    ]);
    command.args(words);
    command
}

fn script(name: &str) -> PathBuf {
    postern_tests::root().join("tests/foreign").join(name)
}

/// The clients' homes, made by `cargo xtask test`.
fn homes() -> Option<(PathBuf, PathBuf)> {
    let foreign = postern_tests::root().join("target/foreign");
    let (python, node) = (foreign.join("python/bin/python"), foreign.join("node"));
    if !Path::new("/usr/bin/mosquitto_pub").exists() {
        not_run("mosquitto_pub is not installed (Debian package mosquitto-clients)");
        return None;
    }
    if !python.exists() || !node.join("node_modules/mqtt").exists() {
        not_run("paho-mqtt or mqtt.js is not installed (cargo xtask test installs them)");
        return None;
    }
    Some((python, node))
}

#[tokio::test(flavor = "multi_thread")]
async fn a1_four_clients_that_are_not_ours_log_on_over_tls_and_exchange_messages() {
    let Some((python, node)) = homes() else { return };
    let postern = Postern::start(|_| {}).await;
    let (maud, pat) = (Account::of(&postern, "maud", "tls").await, Account::of(&postern, "pat", "tls").await);
    let (jo, rumi) = (Account::of(&postern, "jo", "wss").await, Account::of(&postern, "rumi", "tls").await);

    // mosquitto_sub, 3.1.1: listens for everything sent to maud.
    let mut maud_sub =
        Client::start(&mut mosquitto("mosquitto_sub", &maud, &["-t", "im/u/maud/+", "-F", "%t %p", "-d"]));
    maud_sub.line("received SUBACK").await;
    // paho-mqtt, MQTT 5; mqtt.js over secure WebSocket, MQTT 5. Each answers what it gets.
    let mut pat_chat =
        Client::start(Command::new(python).arg(script("paho_chat.py")).args(pat.words()).arg("pat"));
    let mut jo_chat = Client::start(
        Command::new("node")
            .arg(script("mqttjs_chat.cjs"))
            .args(jo.words())
            .arg("jo")
            .env("NODE_PATH", node.join("node_modules")),
    );
    pat_chat.line("ready").await;
    jo_chat.line("ready").await;

    // rumqttc writes to each; each answers; maud's answer comes by mosquitto_pub under her own name.
    let (client, mut events) = rumqttc_client(&rumi, &postern.ca());
    for to in ["pat", "jo", "maud"] {
        client
            .publish(format!("im/u/{to}/rumi"), QoS::AtLeastOnce, false, format!("hello {to}"))
            .await
            .unwrap();
    }
    let chat = async {
        let mut answers = Vec::new();
        while answers.len() < 2 {
            let event = events.poll().await.expect("rumqttc keeps its link");
            let Event::Incoming(Packet::Publish(publish)) = event else { continue };
            if publish.topic.starts_with("im/") {
                answers.push(format!("{} {}", publish.topic, String::from_utf8_lossy(&publish.payload)));
            }
        }
        answers.sort();
        answers
    };
    let answers = patiently("the answers of paho and mqtt.js", chat).await;
    assert_eq!(answers, ["im/u/rumi/jo jo got: hello jo", "im/u/rumi/pat pat got: hello pat"]);
    maud_sub.line("im/u/maud/rumi hello maud").await;
    // They wrote to each other, too: paho to mqtt.js, mqtt.js to mosquitto.
    maud_sub.line("im/u/maud/jo from mqtt.js").await;
    jo_chat.line("im/u/jo/pat from paho").await;

    // mosquitto_pub, as another device of maud's.
    let second = Account { device: postern.device("maud", "maud-second").await, ..maud };
    let published =
        mosquitto("mosquitto_pub", &second, &["-t", "im/u/pat/maud", "-m", "from mosquitto"]).status();
    assert!(patiently("mosquitto_pub", published).await.unwrap().success());
    pat_chat.line("im/u/pat/maud from mosquitto").await;
    // A14: what one device of hers sends, the other sees.
    maud_sub.line("im/u/pat/maud from mosquitto").await;
    drop(client);
}

fn rumqttc_client(account: &Account, ca: &[u8]) -> (rumqttc::AsyncClient, rumqttc::EventLoop) {
    let token = &account.device.state.login().token;
    let mut options =
        rumqttc::MqttOptions::new(account.device.state.client_id(), &account.host, account.port);
    options.set_credentials(&token.id, &token.bearer).set_keep_alive(Duration::from_secs(30));
    let trust = phone::sign_in::trust(ca).unwrap();
    options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(trust)));
    rumqttc::AsyncClient::new(options, 10)
}
