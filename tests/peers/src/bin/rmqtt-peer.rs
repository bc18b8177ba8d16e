//! rmqtt as a peer: `rmqtt-peer PORT TLS_PORT CERTIFICATE KEY`, on loopback, without plugins and
//! metrics. Ends with its stdin.

use std::num::NonZeroU16;

use rmqtt::context::ServerContext;
use rmqtt::net::Builder;
use rmqtt::server::MqttServer;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let peer = postern_peers::Peer::from_command_line()?;
    // Its bounds of 16 in flight and 1,000 waiting would measure these bounds.
    let listener = |name: &str, port: u16| {
        Builder::new()
            .name(name)
            .laddr(([127, 0, 0, 1], port).into())
            .nodelay(true)
            .max_inflight(NonZeroU16::new(1_000).unwrap_or(NonZeroU16::MAX))
            .max_mqueue_len(100_000)
    };
    let tcp = listener("tcp", peer.port).bind()?.tcp()?;
    let tls = listener("tls", peer.tls_port).tls_cert(Some(peer.certificate)).tls_key(Some(peer.key));
    let tls = tls.bind()?.tls()?;
    let context = ServerContext::new().busy_check_enable(false).build().await;
    MqttServer::new(context).listener(tcp).listener(tls).build().run().await?;
    Ok(())
}
