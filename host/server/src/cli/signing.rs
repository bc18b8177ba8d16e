//! `postern plugin keygen` and `sign`: on this machine, without a server.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use anyhow::{Context, anyhow};
use base64::{Engine, engine::general_purpose::STANDARD};
use postern_guest::{sign as sign_component, signer_of};
use ring::{rand::SystemRandom, signature::Ed25519KeyPair};
use zeroize::Zeroizing;

use super::print;
use crate::datadir::write_whole;

/// Of a private key's file, after PKCS #8 (RFC 5958).
const BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const END: &str = "-----END PRIVATE KEY-----";

/// Makes a key pair, and prints the public key as `signatures.keys` of a policy takes it.
pub(super) fn keygen(file: &Path) -> anyhow::Result<()> {
    let named = || file.display().to_string();
    let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new());
    let document = document.map_err(|_| anyhow!("no random numbers"))?;
    let text = Zeroizing::new(format!("{BEGIN}\n{}\n{END}\n", STANDARD.encode(document.as_ref())));
    // A key that is there is not written over.
    let mut out =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(file).with_context(named)?;
    out.write_all(text.as_bytes()).and_then(|()| out.sync_all()).with_context(named)?;
    print::line(&signer_of(&read(file)?).to_string())
}

/// Signs a component's file, in place.
pub(super) fn sign(file: &Path, key: &Path) -> anyhow::Result<()> {
    let named = || file.display().to_string();
    let pair = read(key)?;
    let component = fs::read(file).with_context(named)?;
    if !component.starts_with(b"\0asm") {
        anyhow::bail!("{}: is not WebAssembly", named());
    }
    write_whole(file, &sign_component(&component, &pair), 0o644).with_context(named)?;
    print::line(&format!("{} is signed by {}", named(), signer_of(&pair)))
}

fn read(file: &Path) -> anyhow::Result<Ed25519KeyPair> {
    let named = || file.display().to_string();
    let text = Zeroizing::new(fs::read_to_string(file).with_context(named)?);
    let inner = text.trim().strip_prefix(BEGIN).and_then(|rest| rest.strip_suffix(END));
    let bytes = inner.and_then(|inner| {
        let joined: Zeroizing<String> = Zeroizing::new(inner.split_whitespace().collect());
        STANDARD.decode(joined.as_bytes()).ok().map(Zeroizing::new)
    });
    let bytes = bytes.ok_or_else(|| anyhow!("{}: no private key of `postern plugin keygen`", named()))?;
    Ed25519KeyPair::from_pkcs8_maybe_unchecked(&bytes)
        .map_err(|error| anyhow!("{}: no Ed25519 key: {error}", named()))
}
