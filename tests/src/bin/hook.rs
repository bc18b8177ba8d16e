//! A hook outside of the broker, for `cargo xtask bench plugins`: answers each question over HTTP/1.1 with the class
//! that a message's topic promises, the rule of classify-topic. Says where it listens, and ends with its stdin.

use std::convert::Infallible;
use std::io::Read;

use anyhow::Result;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::TcpListener;

/// What it is told of a message.
#[derive(Deserialize)]
#[allow(dead_code)] // read as a rule would have it, though this one looks at the topic alone
struct Facts<'a> {
    topic: &'a str,
    qos: u8,
    retain: bool,
    payload: &'a str,
}

fn main() -> Result<()> {
    std::thread::spawn(|| {
        std::io::stdin().lock().read_to_end(&mut Vec::new()).ok();
        std::process::exit(0);
    });
    // One thread: the broker and its clients want the other core.
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(serve())
}

async fn serve() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("listening {}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let connection = hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service_fn(answer));
        tokio::spawn(connection);
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let mut response = Response::new(Full::default());
    match serde_json::from_slice::<Facts<'_>>(&body) {
        Ok(facts) => {
            *response.body_mut() = Full::from(format!("{{\"class\":\"{}\"}}", class_of(facts.topic)))
        }
        Err(_) => *response.status_mut() = StatusCode::BAD_REQUEST,
    }
    Ok(response)
}

fn class_of(topic: &str) -> &'static str {
    match topic.split('/').next() {
        Some("im") => "instant",
        Some("note") => "notification",
        Some("status") => "status",
        Some("cmd" | "link") => "command",
        _ => "other",
    }
}
