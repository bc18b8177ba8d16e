//! CONNECT options for rumqttc, MQTT 5 and 3.1.1, over TCP and TLS.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rumqttc::{TlsConfiguration, Transport};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use rustls::{ClientConfig, RootCertStore};

use crate::{Broker, Device};

/// The largest packet that we take, bytes.
const MAX_PACKET: u32 = 1024 * 1024;

/// Trust in the certificates of `ca_pem`, and in no others.
///
/// # Errors
/// When `ca_pem` is not PEM or holds no usable certificate.
pub fn trust(ca_pem: &[u8]) -> io::Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca_pem) {
        roots.add(certificate.map_err(io::Error::other)?).map_err(io::Error::other)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = builder.map_err(io::Error::other)?.with_root_certificates(roots).with_no_client_auth();
    Ok(Arc::new(config))
}

/// The transport for `broker`.
pub fn transport(broker: &Broker, trust: &Arc<ClientConfig>) -> Transport {
    match broker.transport.as_str() {
        "tls" => Transport::tls_with_config(TlsConfiguration::Rustls(Arc::clone(trust))),
        _ => Transport::Tcp,
    }
}

/// MQTT 5: a session that outlives the link by `session_secs`. The proof in it is good for one CONNECT:
/// before another, give rumqttc's event loop a new one by [`renew_v5`].
///
/// # Errors
/// As [`Device::proof`].
pub fn options_v5(
    device: &mut Device,
    broker: &Broker,
    host: &str,
    trust: &Arc<ClientConfig>,
    session_secs: u32,
) -> io::Result<rumqttc::v5::MqttOptions> {
    let mut options = rumqttc::v5::MqttOptions::new(device.client_id(), host_of(broker, host), broker.port);
    options.set_transport(transport(broker, trust));
    options.set_keep_alive(Duration::from_secs(30)).set_clean_start(false);
    options.set_session_expiry_interval(Some(session_secs)).set_max_packet_size(Some(MAX_PACKET));
    renew_v5(device, broker, &mut options)?;
    Ok(options)
}

/// Puts a new proof into `options`.
///
/// # Errors
/// As [`Device::proof`].
pub fn renew_v5(
    device: &mut Device,
    broker: &Broker,
    options: &mut rumqttc::v5::MqttOptions,
) -> io::Result<()> {
    let proof = device.proof(broker)?;
    options.set_credentials(device.login().token.id.clone(), proof);
    Ok(())
}

/// MQTT 3.1.1: a session that the server keeps as long as its policy says.
///
/// # Errors
/// As [`Device::proof`].
pub fn options_v4(
    device: &mut Device,
    broker: &Broker,
    host: &str,
    trust: &Arc<ClientConfig>,
) -> io::Result<rumqttc::MqttOptions> {
    let mut options = rumqttc::MqttOptions::new(device.client_id(), host_of(broker, host), broker.port);
    options.set_transport(transport(broker, trust));
    let max = usize::try_from(MAX_PACKET).unwrap_or(usize::MAX);
    options.set_keep_alive(Duration::from_secs(30)).set_clean_session(false).set_max_packet_size(max, max);
    let proof = device.proof(broker)?;
    options.set_credentials(device.login().token.id.clone(), proof);
    Ok(options)
}

fn host_of<'a>(broker: &'a Broker, login_host: &'a str) -> &'a str {
    if broker.host.is_empty() { login_host } else { &broker.host }
}
