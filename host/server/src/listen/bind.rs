//! Taking the addresses, all of them, before anything else is touched.

use std::{
    net::SocketAddr,
    os::unix::fs::{FileTypeExt, PermissionsExt},
    path::{Path, PathBuf},
};

use tokio::net::{TcpListener, UnixListener};

use super::wire::ListenerName;
use crate::config::{AdminAddress, Config, ConfigError, HostPort};

/// All listeners of a node, bound and not yet accepting.
pub struct Bound {
    /// MQTT and HTTP listeners, in the order they are announced.
    pub public: Vec<(ListenerName, TcpListener, SocketAddr)>,
    /// The admin listener.
    pub admin: Admin,
    /// Plain HTTP for probes.
    pub health: Option<(TcpListener, SocketAddr)>,
}

/// The admin listener.
pub enum Admin {
    /// A socket file.
    Unix(UnixListener, SocketFile),
    /// TLS and a token.
    Network(TcpListener, SocketAddr),
}

/// The file of a socket: gone with its owner, also when a start is refused half-way.
pub struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Bound {
    /// Takes every address that the config names.
    ///
    /// # Errors
    /// The first that is not to be had, with its key.
    pub async fn all(config: &Config) -> Result<Self, ConfigError> {
        let listen = &config.listen;
        let named = [
            (ListenerName::Tcp, &listen.tcp),
            (ListenerName::Tls, &listen.tls),
            (ListenerName::Ws, &listen.ws),
            (ListenerName::Wss, &listen.wss),
            (ListenerName::Http, &listen.http),
        ];
        let mut public = Vec::new();
        for (name, address) in named {
            if let Some(address) = address {
                let (listener, at) = tcp(config, &format!("listen.{}", name.as_str()), address).await?;
                public.push((name, listener, at));
            }
        }
        let admin = match &listen.admin {
            AdminAddress::Unix(path) => unix(config, path)?,
            AdminAddress::Network(address) => {
                let (listener, at) = tcp(config, "listen.admin", address).await?;
                Admin::Network(listener, at)
            }
        };
        let health = match &listen.health {
            Some(address) => Some(tcp(config, "listen.health", address).await?),
            None => None,
        };
        Ok(Bound { public, admin, health })
    }

    /// `NAME ADDRESS` of each, in the order tcp tls ws wss http admin health.
    pub fn announced(&self) -> Vec<(&'static str, String)> {
        let mut lines: Vec<_> =
            self.public.iter().map(|(name, _, at)| (name.as_str(), at.to_string())).collect();
        lines.push(match &self.admin {
            Admin::Unix(_, file) => ("admin", format!("unix:{}", file.0.display())),
            Admin::Network(_, at) => ("admin", at.to_string()),
        });
        lines.extend(self.health.as_ref().map(|(_, at)| ("health", at.to_string())));
        lines
    }

    /// Addresses of the MQTT and HTTP listeners.
    pub fn addresses(&self) -> Vec<(ListenerName, SocketAddr)> {
        self.public.iter().map(|(name, _, at)| (*name, *at)).collect()
    }
}

async fn tcp(
    config: &Config,
    key: &str,
    address: &HostPort,
) -> Result<(TcpListener, SocketAddr), ConfigError> {
    let wrong = |e: std::io::Error| config.error(key, format!("{address}: {e}"));
    let listener = address.bind().await.map_err(wrong)?;
    let at = listener.local_addr().map_err(wrong)?;
    Ok((listener, at))
}

/// A socket that only its owner may open (rule 10). One that a killed process left is replaced; a
/// live one is not.
fn unix(config: &Config, path: &Path) -> Result<Admin, ConfigError> {
    let wrong = |e: std::io::Error| config.error("listen.admin", format!("unix:{}: {e}", path.display()));
    if let Ok(meta) = std::fs::symlink_metadata(path) {
        if !meta.file_type().is_socket() {
            return Err(config.error("listen.admin", format!("{} is there and is no socket", path.display())));
        }
        if std::os::unix::net::UnixStream::connect(path).is_ok() {
            return Err(
                config.error("listen.admin", format!("unix:{}: in use by another process", path.display()))
            );
        }
        std::fs::remove_file(path).map_err(wrong)?;
    }
    // Under another name until nobody else may open it.
    let beside = path.with_extension(format!("{}.new", std::process::id()));
    let listener = UnixListener::bind(&beside).map_err(wrong)?;
    let narrowed = std::fs::set_permissions(&beside, std::fs::Permissions::from_mode(0o600));
    narrowed.and_then(|()| std::fs::rename(&beside, path)).map_err(|e| {
        let _ = std::fs::remove_file(&beside);
        wrong(e)
    })?;
    Ok(Admin::Unix(listener, SocketFile(path.to_owned())))
}
