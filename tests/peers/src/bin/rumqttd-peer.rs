//! rumqttd as a peer: `rumqttd-peer PORT TLS_PORT CERTIFICATE KEY`, MQTT 3.1.1 on loopback.
//! Ends with its stdin.

use std::collections::HashMap;

use rumqttd::{Broker, Config, ConnectionSettings, RouterConfig, ServerSettings, TlsConfig};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let peer = postern_peers::Peer::from_command_line()?;
    let tls = TlsConfig::Rustls { capath: None, certpath: peer.certificate, keypath: peer.key };
    let servers = HashMap::from([
        ("tcp".to_owned(), server("tcp", peer.port, None)),
        ("tls".to_owned(), server("tls", peer.tls_port, Some(tls))),
    ]);
    // The router as in the rumqttd.toml that it ships, for more connections.
    let router = RouterConfig {
        max_connections: 20_000,
        max_outgoing_packet_count: 200,
        max_segment_size: 104_857_600,
        max_segment_count: 10,
        ..RouterConfig::default()
    };
    let config = Config { router, v4: Some(servers), ..Config::default() };
    Broker::new(config).start()?;
    Ok(())
}

fn server(name: &str, port: u16, tls: Option<TlsConfig>) -> ServerSettings {
    ServerSettings {
        name: name.to_owned(),
        listen: ([127, 0, 0, 1], port).into(),
        tls,
        next_connection_delay_ms: 0,
        connections: ConnectionSettings {
            connection_timeout_ms: 60_000,
            max_payload_size: 1 << 20,
            max_inflight_count: 1_000,
            auth: None,
            external_auth: None,
            dynamic_filters: true,
        },
    }
}
