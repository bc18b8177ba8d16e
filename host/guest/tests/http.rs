//! `postern:host/http` and `http-password` as a component has them: examples/plugins/login-http against a local
//! endpoint.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // helpers of tests

mod support;

use std::sync::{Arc, Mutex};

use postern_guest::roles::login::{AccountsError, Attempt, LoginError};
use postern_guest::roles::types::{Profile, Relation};
use postern_guest::{CallError, LoadError, Plugin, Reason, Role, Secret, Slots};
use support::{Bench, example};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// An enterprise's endpoint: answers by the request's first line.
struct Endpoint {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Endpoint {
    async fn start(answer: fn(&str) -> &'static str) -> Endpoint {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let heard = asked.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(one(stream, answer, heard.clone()));
            }
        });
        Endpoint { port, asked }
    }

    fn policy(&self, more: &str) -> String {
        let port = self.port;
        format!(
            "grants = ['log', 'config', 'password', 'proof', 'http', 'http-password']
             http_hosts = ['http://127.0.0.1:{port}']
             config = {{ host = 'http://127.0.0.1:{port}', base = 'v1', authorization = 'Bearer us' }}
             {more}"
        )
    }

    fn last(&self) -> String {
        self.asked.lock().unwrap().last().cloned().unwrap()
    }
}

async fn one(mut stream: TcpStream, answer: fn(&str) -> &'static str, heard: Arc<Mutex<Vec<String>>>) {
    let (mut request, mut piece) = (String::new(), [0; 4096]);
    while !(request.contains("\r\n\r\n") && (request.starts_with("GET") || request.ends_with('}'))) {
        let n = stream.read(&mut piece).await.unwrap();
        assert_ne!(n, 0, "cut off: {request}");
        request.push_str(std::str::from_utf8(&piece[..n]).unwrap());
    }
    let answer = answer(request.lines().next().unwrap());
    heard.lock().unwrap().push(request);
    if answer == HANG {
        std::future::pending::<()>().await;
    }
    let (status, body) = answer.split_once('|').unwrap();
    let text = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    stream.write_all(text.as_bytes()).await.unwrap();
}

const HANG: &str = "hang";
const NOBODY: &str = "404 Not Found|";
const ALICE: &str = r#"200 OK|{"user":"alice","name":"Alice","org":"acme","groups":["ops"]}"#;

fn directory(line: &str) -> &'static str {
    match line {
        "POST /v1/login HTTP/1.1" | "GET /v1/users/alice HTTP/1.1" => ALICE,
        "GET /v1/orgs/acme%20%26%20co/partners HTTP/1.1" => {
            r#"200 OK|[{"org":"parts","relation":"upstream"}]"#
        }
        "GET /v1/groups/%2A/members HTTP/1.1" => r#"200 OK|["bob","alice"]"#,
        "GET /v1/users/alice/visible?limit=5&after=a HTTP/1.1" => {
            r#"200 OK|[{"user":"bob","name":"Bob","org":"parts","relation":"upstream"}]"#
        }
        _ => NOBODY,
    }
}

async fn load(bench: &Bench, policy: &str) -> Result<Arc<Plugin>, LoadError> {
    bench.load_file(&example("login-http"), policy).await
}

async fn serving(bench: &Bench, policy: &str) -> Slots {
    let slots = Slots::new();
    slots.activate(Role::Login, load(bench, policy).await.unwrap()).unwrap();
    slots
}

async fn login(slots: &Slots) -> Result<Profile, CallError<LoginError>> {
    let attempt =
        Attempt { user: "alice".into(), client_id: "phone".into(), address: "192.0.2.1".into(), now: 1 };
    slots.login().login(attempt, &Secret::new("correct \"horse\"".into())).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a5_an_enterprises_own_endpoint_decides_about_logins() {
    let bench = Bench::new().await;
    let endpoint = Endpoint::start(directory).await;
    let slots = serving(&bench, &endpoint.policy("")).await;
    assert_eq!(login(&slots).await.unwrap().groups, ["ops"]);
    let asked = endpoint.last();
    assert!(
        asked.contains(r#""password":"correct \"horse\"""#) && asked.contains(r#""address":"192.0.2.1""#),
        "{asked}"
    );
    assert!(asked.contains("authorization: Bearer us\r\n"), "{asked}");

    let login = slots.login();
    assert_eq!(login.find("alice").await.unwrap().unwrap().name, "Alice");
    assert_eq!(login.find("nobody").await.unwrap(), None);
    assert_eq!(login.partners("acme & co").await.unwrap()[0].relation, Relation::Upstream);
    assert_eq!(login.members("*").await.unwrap().unwrap(), ["alice", "bob"]);
    assert_eq!(login.members("none").await.unwrap(), None);
    assert_eq!(login.visible("alice", Some("a"), 5).await.unwrap()[0].user, "bob");
    let told = login.remove_user("alice").await;
    assert!(matches!(told, Err(CallError::Answer(AccountsError::Unsupported(_)))), "{told:?}");
    assert_eq!(slots.info(Role::Login).unwrap().instances, 1, "one instance served all calls");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c6_a_login_fails_closed_whatever_the_endpoint_does() {
    let bench = Bench::new().await;
    for (answer, is_denied) in [
        ((|line| if line.starts_with("POST") { "401 Unauthorized|" } else { NOBODY }) as fn(&str) -> _, true),
        (|line| if line.starts_with("POST") { "500 Oops|" } else { NOBODY }, false),
        (|line| if line.starts_with("POST") { "302 Found|" } else { NOBODY }, false),
        (|line| if line.starts_with("POST") { "200 OK|{}" } else { NOBODY }, false),
        (|line| if line.starts_with("POST") { HANG } else { NOBODY }, false),
    ] {
        let endpoint = Endpoint::start(answer).await;
        // The call's end bounds the request: the plugin is left the time to answer.
        let slots =
            serving(&bench, &endpoint.policy("limits = { call_wall_ms = 1_000, http_timeout_ms = 60_000 }"))
                .await;
        match login(&slots).await {
            Err(CallError::Answer(LoginError::Denied)) => assert!(is_denied),
            Err(CallError::Answer(LoginError::Unavailable(_))) => assert!(!is_denied),
            told => panic!("{told:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c4_http_needs_a_grant_and_a_listed_host() {
    let bench = Bench::new().await;
    let endpoint = Endpoint::start(directory).await;
    let ungranted = endpoint.policy("").replace(", 'http', 'http-password'", "");
    let missing = |name: &str| Reason::NotGranted { interface: name.into() };
    let reasons = load(&bench, &ungranted).await.unwrap_err().reasons;
    assert_eq!(reasons, [missing("http"), missing("http-password")]);
    assert!(endpoint.asked.lock().unwrap().is_empty());

    let unlisted =
        endpoint.policy("").replace("http_hosts = ['http://127.0.0.1:", "http_hosts = ['http://127.0.0.2:");
    let told = load(&bench, &unlisted).await.unwrap_err().to_string();
    assert!(told.contains("is not in http_hosts"), "{told}");
    let nobody = endpoint.policy("").replace("http_hosts", "http_hosts = []\n#");
    let told = load(&bench, &nobody).await.unwrap_err().to_string();
    assert!(told.contains("is not in http_hosts"), "{told}");
    assert!(endpoint.asked.lock().unwrap().is_empty());
}
