//! What both peers are told on their command line.

use std::io::Read;

/// Where to listen, and the certificate to serve with.
pub struct Peer {
    /// Plain.
    pub port: u16,
    /// TLS.
    pub tls_port: u16,
    /// PEM file.
    pub certificate: String,
    /// PEM file.
    pub key: String,
}

impl Peer {
    /// Reads the command line, and ends the process when stdin ends: whoever started it is gone then.
    ///
    /// # Errors
    /// A word is missing or no port.
    pub fn from_command_line() -> Result<Self, Box<dyn std::error::Error>> {
        let mut words = std::env::args().skip(1);
        let mut next = |what: &str| words.next().ok_or(format!("{what} is missing"));
        let peer = Peer {
            port: next("PORT")?.parse()?,
            tls_port: next("TLS_PORT")?.parse()?,
            certificate: next("CERTIFICATE")?,
            key: next("KEY")?,
        };
        std::thread::spawn(|| {
            std::io::stdin().read_to_end(&mut Vec::new()).ok();
            std::process::exit(0);
        });
        Ok(peer)
    }
}
