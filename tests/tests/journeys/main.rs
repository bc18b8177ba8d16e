//! The journeys, each a file, against the real program on port 0. A test is named after the requirement
//! or the security rule (`s_…`) that it shows.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::large_futures,
    reason = "tests: whatever goes wrong ends the test, with its reason"
)]

mod backup;
mod bad_input;
mod bypass;
mod commands;
mod conformance;
mod crash;
mod crash_sessions;
mod delivery;
mod deploy;
mod docs;
mod drain;
mod early_data;
mod enrol;
mod foreign_clients;
mod groups;
mod guards_files;
mod guards_order;
mod guards_sign_in;
mod history;
mod image;
mod imports;
mod login;
mod logs;
mod metrics;
mod packets;
mod plugin_examples;
mod plugin_languages;
mod plugin_life;
mod plugin_load;
mod plugin_swaps;
mod plugin_trials;
mod plugins_fail;
mod postgres;
mod presence;
mod publish;
mod reload;
mod reload_policy;
mod security;
mod security_commands;
mod security_keys;
mod security_limits;
mod security_rights;
mod security_tokens;
mod serve_check;
mod sign_in;
mod terminals;
mod terminals_tls;
mod traces;
mod two_processes;
