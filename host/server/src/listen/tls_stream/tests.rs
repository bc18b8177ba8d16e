//! Against rustls' own buffered client, over a pipe that cuts where it likes.

use rustls::{ClientConfig, ClientConnection, RootCertStore, pki_types::ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio_rustls::{TlsConnector, client};

use super::*;

fn configs() -> (Arc<ServerConfig>, Arc<ClientConfig>) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let server = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    (Arc::new(server), Arc::new(client))
}

async fn pair(pipe: usize) -> (client::TlsStream<DuplexStream>, TlsStream<DuplexStream>) {
    let (server, client) = configs();
    let (near, far) = duplex(pipe);
    let connecting = TlsConnector::from(client).connect(ServerName::try_from("localhost").unwrap(), near);
    let (client, server) = tokio::join!(connecting, TlsStream::accept(far, server));
    (client.unwrap(), server.unwrap())
}

fn is_at_rest(stream: &TlsStream<DuplexStream>) -> bool {
    stream.partial.capacity() + stream.unread.capacity() + stream.unsent.capacity() == 0
}

#[tokio::test]
async fn bytes_go_both_ways_whatever_the_pieces() {
    for pipe in [7, 300, 70_000] {
        let (mut client, mut server) = pair(pipe).await;
        let sent: Vec<u8> = (0..100_000_u32).map(|n| (n % 251) as u8).collect();
        let forth = async {
            client.write_all(&sent).await.unwrap();
            client.flush().await.unwrap();
            let mut got = vec![0; sent.len()];
            client.read_exact(&mut got).await.unwrap();
            got
        };
        let back = async {
            let mut got = vec![0; sent.len()];
            // A small buffer: records are larger than what is asked for.
            for piece in got.chunks_mut(1_000) {
                server.read_exact(piece).await.unwrap();
            }
            server.write_all(&got).await.unwrap();
            server.flush().await.unwrap();
            got
        };
        let (again, received) = tokio::join!(forth, back);
        assert!(received == sent && again == sent, "pipe of {pipe}");
        assert!(is_at_rest(&server), "a resting link owns no buffer");
    }
}

#[tokio::test]
async fn the_end_is_told_and_heard() {
    let (mut client, mut server) = pair(4096).await;
    client.write_all(b"last").await.unwrap();
    client.shutdown().await.unwrap();
    let mut got = Vec::new();
    server.read_to_end(&mut got).await.unwrap();
    assert_eq!(got, b"last");
    server.write_all(b"bye").await.unwrap();
    server.shutdown().await.unwrap();
    let mut got = Vec::new();
    client.read_to_end(&mut got).await.unwrap();
    assert_eq!(got, b"bye");
}

#[tokio::test]
async fn a_cut_is_no_end() {
    let (client, mut server) = pair(4096).await;
    drop(client);
    let error = server.read_u8().await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
}

#[tokio::test]
async fn what_is_no_tls_is_refused_with_an_alert() {
    let (server, _) = configs();
    let (mut near, far) = duplex(4096);
    near.write_all(b"\x10\x1a\x00\x04MQTT\x05 and more that is no handshake").await.unwrap();
    assert!(TlsStream::accept(far, server).await.is_err());
    let mut told = Vec::new();
    near.read_to_end(&mut told).await.unwrap();
    assert_eq!(told.first(), Some(&21), "an alert record (RFC 8446, 5.1): {told:?}");
}

#[tokio::test]
async fn a_forged_record_ends_the_link() {
    let (client, mut server) = pair(4096).await;
    let (mut pipe, _): (DuplexStream, ClientConnection) = client.into_inner();
    pipe.write_all(b"\x17\x03\x03\x00\x20 0123456789 0123456789 0123456789").await.unwrap();
    assert_eq!(server.read_u8().await.unwrap_err().kind(), io::ErrorKind::InvalidData);
}

#[tokio::test]
async fn a_peer_that_reads_nothing_holds_up_only_itself() {
    let (_client, mut server) = pair(1_000).await;
    let mut accepted = 0;
    poll_fn(|cx| {
        while let Poll::Ready(n) = Pin::new(&mut server).poll_write(cx, &[0; 10_000]) {
            accepted += n.unwrap();
        }
        Poll::Ready(())
    })
    .await;
    assert!(accepted <= 2 * WRITE, "{accepted} bytes for a pipe of 1,000");
}
