//! Certificates for the server: an authority that stays, and one certificate after the other.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::pki_types::ServerName;
use rustls::pki_types::{CertificateDer, pem::PemObject};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio_rustls::TlsConnector;

use crate::pump::tcp;

/// Where certificates are put.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Request {
    /// `ca.pem`, `ca-key.pem`, `certificate.pem`, `key.pem`: the first two are made when they are missing.
    folder: PathBuf,
    /// A TLS listener that is to serve with the certificate; none: a new one is made.
    #[serde(default)]
    served: Option<String>,
}

/// Makes a certificate, or tells whether the one that is there is served.
pub(crate) async fn run(request: &Request) -> Result<Value> {
    match &request.served {
        None => make(&request.folder).map(|()| json!({ "made": true })),
        Some(address) => Ok(json!({ "served": is_served(&request.folder, address).await? })),
    }
}

fn make(folder: &Path) -> Result<()> {
    let (authority, authority_key) = (folder.join("ca.pem"), folder.join("ca-key.pem"));
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    params.distinguished_name.push(DnType::CommonName, "Postern soak authority");
    if !authority.exists() {
        let key = KeyPair::generate()?;
        fs::write(&authority, params.self_signed(&key)?.pem())?;
        fs::write(&authority_key, key.serialize_pem())?;
    }
    let issuer = Issuer::new(params, KeyPair::from_pem(&fs::read_to_string(&authority_key)?)?);
    let mut own = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()])?;
    own.distinguished_name.push(DnType::CommonName, "Postern soak");
    own.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate()?;
    let certificate = own.signed_by(&key, &issuer)?;
    whole(&folder.join("key.pem"), &key.serialize_pem())?;
    whole(&folder.join("certificate.pem"), &certificate.pem())
}

/// A new file renamed over the old one.
fn whole(file: &Path, text: &str) -> Result<()> {
    let new = file.with_extension("new");
    fs::write(&new, text).and_then(|()| fs::rename(&new, file)).with_context(|| file.display().to_string())
}

/// Whether a new handshake shows the certificate of the folder.
async fn is_served(folder: &Path, address: &str) -> Result<bool> {
    let tls = phone::sign_in::trust(&fs::read(folder.join("ca.pem"))?)?;
    let connector = TlsConnector::from(Arc::clone(&tls));
    let stream = connector.connect(ServerName::try_from("localhost")?, tcp(address).await?).await?;
    let own = CertificateDer::from_pem_file(folder.join("certificate.pem")).context("certificate.pem")?;
    let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    Ok(shown.is_some_and(|shown| *shown == own))
}
