//! TLS: the provisioned certificates and no others, sessions resumed from one link to the next.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

/// One client config for all links: its session store is what resumption needs.
pub(crate) struct Trust {
    pub(crate) config: Arc<ClientConfig>,
    watch: Arc<Watch>,
}

impl Trust {
    /// Trust in the certificates of `ca_pem`, for the names in them.
    ///
    /// # Errors
    /// When `ca_pem` is not PEM or holds no usable certificate.
    pub(crate) fn new(ca_pem: &[u8]) -> io::Result<Self> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(ca_pem) {
            roots.add(certificate.map_err(io::Error::other)?).map_err(io::Error::other)?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
        let verifier = verifier.build().map_err(io::Error::other)?;
        let watch = Arc::new(Watch { verifier, asked: AtomicBool::new(false) });
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.map_err(io::Error::other)?.dangerous();
        let verified = builder.with_custom_certificate_verifier(Arc::<Watch>::clone(&watch));
        let mut config = verified.with_no_client_auth();
        config.enable_early_data = false; // its replay cannot be told from the original
        Ok(Trust { config: Arc::new(config), watch })
    }

    /// Before a handshake.
    pub(crate) fn forget_handshake(&self) {
        self.watch.asked.store(false, Ordering::Relaxed);
    }

    /// Whether a certificate was checked since; a resumed session shows none.
    pub(crate) fn was_full_handshake(&self) -> bool {
        self.watch.asked.load(Ordering::Relaxed)
    }
}

/// rustls' own verifier, and whether it was asked.
#[derive(Debug)]
struct Watch {
    verifier: Arc<WebPkiServerVerifier>,
    asked: AtomicBool,
}

impl ServerCertVerifier for Watch {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.asked.store(true, Ordering::Relaxed);
        self.verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}
