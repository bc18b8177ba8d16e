//! What only NATS can do: be away.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

use std::time::Duration;

use bytes::Bytes;
use postern_bus::{Bus, BusError};
use support::Nats;

#[tokio::test]
async fn a_server_that_is_not_there() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let error = Bus::connect(&format!("nats://u:secret@127.0.0.1:{free}")).await.unwrap_err();
    let line = error.to_string();
    assert!(matches!(error, BusError::Closed(_)));
    assert!(line.contains("127.0.0.1") && !line.contains("secret") && !line.contains('\n'), "{line}");
}

#[tokio::test]
async fn off_loopback_it_is_refused_before_anything_is_sent() {
    for url in ["nats://u:p@192.0.2.1:4222", "tls://192.0.2.1:4222", "http://127.0.0.1"] {
        assert!(matches!(Bus::connect(url).await, Err(BusError::Refused(_))), "{url}");
    }
}

#[tokio::test]
async fn comes_back_with_its_server() {
    let server = Nats::start();
    let bus = Bus::connect(&server.url()).await.unwrap();
    let asker = Bus::connect(&server.url()).await.unwrap();
    let mut heard = bus.subscribe("presence").await.unwrap();
    let mut requests = bus.serve("ask", "g").await.unwrap();
    tokio::spawn(async move {
        while let Some(request) = requests.next().await {
            request.reply(Bytes::from("yes")).await;
        }
    });
    let server = server.restart();
    // Whoever asks meanwhile is told that the bus is down, or that nobody answers yet.
    let short = Duration::from_millis(50);
    let answer = loop {
        match asker.request("ask", Bytes::new(), short).await {
            Ok(answer) => break answer,
            Err(BusError::Closed(_) | BusError::NoResponder | BusError::Timeout) => {}
            Err(error) => panic!("{error}"),
        }
    };
    assert_eq!(answer, "yes");
    asker.publish("presence", Bytes::from("x")).await.unwrap();
    assert_eq!(heard.next().await.unwrap(), "x");
    assert!(bus.is_up() && asker.is_up());
    drop(server);
    while asker.is_up() {
        let _ = asker.request("ask", Bytes::new(), short).await;
    }
    assert!(matches!(asker.publish("presence", Bytes::new()).await, Err(BusError::Closed(_))));
    assert!(matches!(asker.request("ask", Bytes::new(), short).await, Err(BusError::Closed(_))));
}
