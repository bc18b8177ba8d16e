//! The ways in: [`bind`] takes the addresses, [`accept`] lets connections in, [`tls`], [`websocket`]
//! and [`http`] make them what they are, [`wire`] is what an MQTT link sees of them.

pub mod accept;
pub mod bind;
pub mod connection;
pub mod descriptors;
mod development;
pub mod doors;
pub mod handshake;
pub mod http;
pub mod strangers;
pub mod tls;
pub mod tls_stream;
pub mod traced;
pub mod traffic;
pub mod websocket;
pub mod wire;
