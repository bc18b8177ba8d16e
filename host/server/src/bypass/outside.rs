//! A hook outside of the process: one HTTP/1.1 request for each message, on a connection that each link keeps. A
//! link's messages are asked for one after the other, for they stay in order.

use std::{io, sync::Arc};

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, client::conn::http1::SendRequest};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use postern_broker::Message;
use postern_guest::roles::classify::Class;
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;

use crate::{control::wire::Denied, mqtt::publish::Question};

/// What a link's messages share.
#[derive(Default)]
pub struct Asked {
    answer: Arc<Mutex<Option<Class>>>,
    connection: Arc<tokio::sync::Mutex<Option<SendRequest<Full<Bytes>>>>>,
}

#[derive(Serialize)]
struct Facts<'a> {
    topic: &'a str,
    qos: u8,
    retain: bool,
    payload: String,
}

#[derive(Deserialize)]
struct Verdict {
    class: Class,
}

impl Asked {
    /// The answer to the question about the message at hand, if it was asked.
    pub fn take(&self) -> Option<Class> {
        self.answer.lock().take()
    }

    /// Asks about a message.
    pub fn ask(&self, address: Arc<str>, message: &Message) -> Question {
        let facts = Facts {
            topic: &message.topic,
            qos: message.qos as u8,
            retain: message.retain,
            payload: BASE64_STANDARD.encode(&message.payload),
        };
        let body = serde_json::to_vec(&facts).unwrap_or_default();
        let (answer, connection) = (self.answer.clone(), self.connection.clone());
        Box::pin(async move {
            let mut connection = connection.lock().await;
            let class = ask(&address, body, &mut connection).await;
            *answer.lock() = Some(class.map_err(|e| Denied::Unavailable { detail: e.to_string() })?);
            Ok(())
        })
    }
}

async fn ask(
    address: &str,
    body: Vec<u8>,
    connection: &mut Option<SendRequest<Full<Bytes>>>,
) -> anyhow::Result<Class> {
    let sender = match connection {
        Some(sender) => sender,
        None => connection.insert(connect(address).await?),
    };
    let request = Request::post("/classify")
        .header("host", address)
        .header("content-type", "application/json")
        .body(Full::from(body))?;
    sender.ready().await?;
    let answer = sender.send_request(request).await?.into_body().collect().await?.to_bytes();
    Ok(serde_json::from_slice::<Verdict>(&answer)?.class)
}

async fn connect(address: &str) -> io::Result<SendRequest<Full<Bytes>>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let shaken = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (sender, connection) = shaken.map_err(io::Error::other)?;
    tokio::spawn(connection);
    Ok(sender)
}
