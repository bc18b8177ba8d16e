//! The order of writing, syncing and acknowledging, as the kernel saw it.

use std::num::NonZeroU16;
use std::path::Path;

use postern_broker::wire::{Publish, QoS};
use postern_tests::{Postern, not_run, publish};

/// Not in any other call.
const BODY: &str = "written, then synced, then acknowledged";
const PACKET_ID: NonZeroU16 = NonZeroU16::new(0x5AA5).unwrap();

#[tokio::test(flavor = "multi_thread")]
async fn a10_this_very_message_is_written_and_synced_before_its_puback() {
    if !Path::new("/usr/bin/strace").exists() {
        return not_run("strace is not installed (Debian package strace)");
    }
    let trace = tempfile::NamedTempFile::new().unwrap();
    let file = trace.path().to_str().unwrap().to_owned();
    // Whole pages of the database's log, so that the message's own can be told from the others.
    let strace = ["strace", "-f", "-xx", "-s", "8192", "-o", &file];
    let calls = "--trace=fsync,fdatasync,write,writev,sendto,sendmsg,pwrite64";
    // On plain TCP, so that the PUBACK's bytes can be seen; the operator lets users chat there.
    let rights = toml::Value::from(vec!["im/u/+/{user}"]);
    let mut postern = Postern::start(|c| {
        c.under(&[&strace[..], &[calls]].concat());
        c.policy("plugins.token-hmac.config.rights.plain.publish", rights);
    })
    .await;
    postern.user("bob").await;
    let mut alice = postern.device("alice", "phone").await.sign_in_on(&postern, "tcp", |_| {}).await;
    let message = publish("im/u/bob/alice", BODY, QoS::AtLeastOnce);
    alice.peer.send(Publish { packet_id: Some(PACKET_ID), ..message }).await;
    let ack = alice.acknowledged(PACKET_ID).await;
    assert!((ack.reason as u8) < 0x80, "{ack:?}");
    postern.stop().await;

    let trace = std::fs::read_to_string(trace.path()).unwrap();
    let lines: Vec<&str> = trace.lines().collect();
    let first = |what: &str, wanted: &dyn Fn(&str) -> bool| {
        lines.iter().position(|line| wanted(line)).unwrap_or_else(|| panic!("{what} is not in the trace"))
    };
    let body: String = BODY.bytes().map(|byte| format!(r"\x{byte:02x}")).collect();
    let written = first("the message", &|line| line.contains("pwrite64(") && line.contains(&body));
    // 40 02 5a a5, or with a reason and properties.
    let is_sent = |line: &str| ["write", "send"].iter().any(|call| line.contains(call));
    let puback =
        first("the PUBACK", &|line| is_sent(line) && line.contains(r"\x40\x0") && line.contains(r"\x5a\xa5"));
    let is_synced = |line: &&str| line.contains("sync") && line.contains("= 0");
    assert!(written < puback, "the message is written before its PUBACK");
    assert!(lines[written..puback].iter().any(is_synced), "and synced in between");
}
