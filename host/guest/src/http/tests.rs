//! Against servers that answer as a test tells them to.

use std::future::pending;

use rustls::ServerConfig;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;

/// A server for one connection: reads a request to its end, and answers.
struct Server {
    port: u16,
    got: tokio::task::JoinHandle<String>,
}

/// What it does with a request.
#[derive(Clone, Copy)]
enum Does {
    Answer(&'static str),
    AnswerLong(usize),
    Nothing,
}

impl Server {
    async fn plain(does: Does) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let got = tokio::spawn(async move { serve(listener.accept().await.unwrap().0, does).await });
        Server { port, got }
    }

    /// With a certificate for `name`, and the file of the one who vouches for it.
    async fn tls(name: &str, does: Does) -> (Server, TempDir) {
        let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), made.cert.pem()).unwrap();
        let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let got = tokio::spawn(async move {
            match acceptor.accept(listener.accept().await.unwrap().0).await {
                Ok(stream) => serve(stream, does).await,
                Err(_) => String::new(),
            }
        });
        (Server { port, got }, folder)
    }
}

async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, does: Does) -> String {
    let mut got = Vec::new();
    let mut piece = [0; 1024];
    // Requests of these tests end with `END` or have no body.
    let is_whole =
        |got: &[u8]| got.ends_with(b"END") || (got.starts_with(b"GET") && got.ends_with(b"\r\n\r\n"));
    while !is_whole(&got) {
        let n = stream.read(&mut piece).await.unwrap();
        assert_ne!(n, 0, "cut off");
        got.extend_from_slice(&piece[..n]);
    }
    let answer = match does {
        Does::Answer(text) => text.to_owned(),
        Does::AnswerLong(len) => {
            format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{len:x}\r\n{}", "x".repeat(len))
        }
        Does::Nothing => pending().await,
    };
    let _ = stream.write_all(answer.as_bytes()).await; // whoever has read enough closes
    let _ = stream.shutdown().await;
    String::from_utf8(got).unwrap()
}

fn bounds(timeout_ms: u32) -> Bounds {
    Bounds { body_bytes: 1_000, timeout_ms }
}

fn http(host: &str, ca: Option<&TempDir>, timeout_ms: u32) -> Http {
    let ca = ca.map(|folder| folder.path().join("ca.pem"));
    let hosts = vec![HttpHost::try_from(host.to_owned()).unwrap()];
    Http::new("test", hosts, ca.as_deref(), bounds(timeout_ms)).unwrap()
}

async fn ask(http: &Http, request: Request) -> Result<Response, HttpError> {
    let host = http.hosts[0].listed().to_owned();
    http.send(http.prepare(Request { host, ..request })?, None).await
}

const OK: Does = Does::Answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Told: yes\r\n\r\nhi");
const LONG: u32 = 20_000;

#[tokio::test]
async fn a_request_is_sent_as_asked_and_answered() {
    let server = Server::plain(OK).await;
    let listed = format!("http://127.0.0.1:{}", server.port);
    let request = Request {
        method: hyper::Method::POST,
        path: vec!["users".into(), "a b".into()],
        query: vec![("n".into(), "1".into())],
        headers: vec![("X-Ask".into(), "me".into())],
        body: b"body END".to_vec(),
        ..Request::default()
    };
    let answer = ask(&http(&listed, None, LONG), request).await.unwrap();
    assert_eq!((answer.status, answer.body.as_slice()), (200, &b"hi"[..]));
    assert!(answer.headers.contains(&("x-told".into(), "yes".into())));
    let got = server.got.await.unwrap();
    assert!(got.starts_with("POST /users/a%20b?n=1 HTTP/1.1\r\n"), "{got}");
    for line in
        ["x-ask: me", &format!("host: 127.0.0.1:{}", server.port), "content-length: 8", "connection: close"]
    {
        assert!(got.to_lowercase().contains(&format!("{line}\r\n")), "{line} in {got}");
    }
}

#[tokio::test]
async fn https_trusts_the_ca_that_the_policy_names_and_the_listed_name_only() {
    let (server, ca) = Server::tls("localhost", OK).await;
    let listed = format!("localhost:{}", server.port);
    assert_eq!(ask(&http(&listed, Some(&ca), LONG), Request::default()).await.unwrap().status, 200);

    // Vouched for by somebody else.
    let (server, _) = Server::tls("localhost", OK).await;
    let listed = format!("localhost:{}", server.port);
    let told = ask(&http(&listed, Some(&ca), LONG), Request::default()).await.unwrap_err();
    assert!(matches!(told, HttpError::Unavailable(_)), "{told}");

    // The right one, for another name.
    let (server, ca) = Server::tls("hr.example", OK).await;
    let listed = format!("localhost:{}", server.port);
    let told = ask(&http(&listed, Some(&ca), LONG), Request::default()).await.unwrap_err();
    assert!(matches!(told, HttpError::Unavailable(_)), "{told}");
    assert_eq!(server.got.await.unwrap(), "", "nothing was said to it");
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let elsewhere = "HTTP/1.1 302 Found\r\nLocation: https://elsewhere.example/\r\nContent-Length: 0\r\n\r\n";
    let server = Server::plain(Does::Answer(elsewhere)).await;
    let listed = format!("http://127.0.0.1:{}", server.port);
    assert_eq!(ask(&http(&listed, None, LONG), Request::default()).await.unwrap().status, 302);
}

#[tokio::test]
async fn an_answer_has_its_bound() {
    for len in [1_000, 1_001, 100_000] {
        let server = Server::plain(Does::AnswerLong(len)).await;
        let listed = format!("http://127.0.0.1:{}", server.port);
        let told = ask(&http(&listed, None, LONG), Request::default()).await.unwrap_err();
        // Also the one that would fit: its last chunk never comes.
        assert!(matches!(told, HttpError::Unavailable(_)), "{told}");
    }
}

#[tokio::test]
async fn who_does_not_answer_is_given_up() {
    let server = Server::plain(Does::Nothing).await;
    let listed = format!("http://127.0.0.1:{}", server.port);
    let told = ask(&http(&listed, None, 50), Request::default()).await.unwrap_err();
    assert_eq!(told, HttpError::Unavailable("no answer in time".into()));

    // What the call has left bounds it too, and leaves some of it.
    let server = Server::plain(Does::Nothing).await;
    let http = http(&format!("http://127.0.0.1:{}", server.port), None, LONG);
    let request = Request { host: http.hosts[0].listed().to_owned(), ..Request::default() };
    let ends = Instant::now() + Duration::from_millis(200);
    let told = http.send(http.prepare(request).unwrap(), Some(ends)).await.unwrap_err();
    assert!(told == HttpError::Unavailable("no answer in time".into()) && Instant::now() < ends);
}

#[tokio::test]
async fn what_is_no_http_is_unavailable() {
    for text in [
        "",
        "SSH-2.0-x\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi",
        "HTTP/1.1 200 OK\r\nContent-Le",
    ] {
        let server = Server::plain(Does::Answer(text)).await;
        let listed = format!("http://127.0.0.1:{}", server.port);
        let told = ask(&http(&listed, None, LONG), Request::default()).await.unwrap_err();
        assert!(matches!(told, HttpError::Unavailable(_)), "{text:?}: {told}");
    }
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let told = ask(&http(&format!("http://{free}"), None, LONG), Request::default()).await.unwrap_err();
    assert!(matches!(told, HttpError::Unavailable(_)), "{told}");
}

fn listing(hosts: &[&str], ca: Option<&Path>) -> Result<Http, String> {
    let hosts = hosts.iter().map(|host| HttpHost::try_from((*host).to_owned()).unwrap()).collect();
    Http::new("x", hosts, ca, bounds(LONG))
}

#[test]
fn only_listed_hosts_are_asked() {
    let http = listing(&["http://127.0.0.1:80"], None).unwrap();
    for other in
        ["http://127.0.0.1:81", "127.0.0.1:80", "http://127.0.0.1", "http://localhost:80", "", "\u{7}"]
    {
        let request = Request { host: other.into(), ..Request::default() };
        let Err(HttpError::Refused(told)) = http.prepare(request) else { panic!("{other}") };
        assert!(told.contains("http_hosts") && !told.contains('\u{7}'), "{told}");
    }
}

#[tokio::test]
async fn a_body_has_its_bound() {
    let http = listing(&["http://127.0.0.1:1"], None).unwrap();
    let request = Request { host: "http://127.0.0.1:1".into(), body: vec![0; 1_001], ..Request::default() };
    let prepared = http.prepare(request).unwrap();
    assert!(matches!(http.send(prepared, None).await, Err(HttpError::Refused(_))));
}

#[test]
fn a_wrong_ca_file_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    let told = listing(&["a.example:443"], Some(&file)).err().unwrap();
    assert!(told.contains("ca.pem"), "{told}");
    std::fs::write(&file, "no certificate").unwrap();
    let told = listing(&["a.example:443"], Some(&file)).err().unwrap();
    assert!(told.contains("holds no certificate"), "{told}");
}
