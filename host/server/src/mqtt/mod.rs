//! One MQTT client, from its first byte to its last.
//!
//! CONNECT: [`connect`] → [`auth`] (role token) → [`rights`] → session → [`link`], [`feed`]
//! PUBLISH: [`link`] → [`receive`] → [`publish`] (rights, role classify) → [`inflow`] (role store) → ack
//! SUBSCRIBE: [`link`] → [`subscribe`] (rights) → session
//! The end: [`link`] → [`ending`] (DISCONNECT, the will, who left)

mod addressee;
pub mod auth;
pub mod connect;
mod deadlines;
mod ending;
mod feed;
pub mod framed;
pub mod inflow;
pub mod keep;
pub mod link;
pub mod live;
mod memory;
mod pace;
pub mod publish;
mod reauth;
mod receive;
pub mod rights;
mod subscribe;
pub mod sys;
pub mod timers;
pub mod will;
pub mod wrong_group;
