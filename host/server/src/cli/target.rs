//! Which server a verb speaks to: `--admin`, else `--config`, else the environment.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};

use crate::{
    config::{AdminAddress, Config, Environment, SecretText},
    datadir::DevelopmentFiles,
};

/// An admin listener and what it takes to speak to it.
#[derive(Debug)]
pub(super) struct Target {
    pub address: AdminAddress,
    /// For a listener on the network.
    pub token: Option<SecretText>,
    /// PEM file with what to trust, for a listener on the network.
    pub ca: Option<PathBuf>,
}

impl Target {
    /// Finds it.
    ///
    /// # Errors
    /// Nothing names a listener, or what names it is wrong.
    pub fn find(
        admin: Option<&str>,
        config: Option<&Path>,
        ca: Option<&Path>,
        vars: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> anyhow::Result<Self> {
        let vars: Vec<_> = vars.into_iter().collect();
        let named = admin.map(str::parse::<AdminAddress>).transpose();
        let named = named.with_context(|| format!("--admin {}", admin.unwrap_or_default()))?;
        let found = match config {
            Some(file) => Target::of_config(&Config::from_parts(Some(file), vars)?),
            None => Target::of_environment(&Environment::read(vars)?, named.is_some())?,
        };
        let address = named.unwrap_or(found.address);
        if matches!(&address, AdminAddress::Network(at) if at.is_any_port()) {
            bail!("the config lets the server pick the admin port: give --admin with the one it printed");
        }
        Ok(Target { address, token: found.token, ca: ca.map(Path::to_owned).or(found.ca) })
    }

    fn of_config(config: &Config) -> Self {
        let ca = match &config.tls {
            Some(files) => files.certificate.clone(),
            None => DevelopmentFiles::of(&config.data).ca,
        };
        Target { address: config.listen.admin.clone(), token: config.admin_token.clone(), ca: Some(ca) }
    }

    fn of_environment(environment: &Environment, named: bool) -> anyhow::Result<Self> {
        let data = environment.text("data").map(Path::new);
        let address = match (environment.text("listen.admin"), data) {
            (Some(text), _) => text.parse().with_context(|| format!("POSTERN_LISTEN__ADMIN {text:?}"))?,
            (None, Some(data)) => AdminAddress::Unix(data.join("admin.sock")),
            // `--admin` names it; this one is not used.
            (None, None) if named => AdminAddress::Unix(PathBuf::new()),
            (None, None) => bail!("which server? give --admin ADDRESS or --config FILE"),
        };
        let ca = match environment.text("tls.certificate") {
            Some(file) => Some(PathBuf::from(file)),
            None => data.map(|data| DevelopmentFiles::of(data).ca),
        };
        let token = environment.text("admin.token").map(|text| SecretText::new(text.to_owned()));
        Ok(Target { address, token, ca })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(admin: Option<&str>, config: Option<&Path>, vars: &[(&str, &str)]) -> anyhow::Result<Target> {
        Target::find(admin, config, None, vars.iter().map(|(k, v)| (k.into(), v.into())))
    }

    #[test]
    fn admin_then_config_then_environment() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("p.toml");
        std::fs::write(&file, "[listen]\nadmin = \"unix:/from/config\"").unwrap();
        let vars = [("POSTERN_LISTEN__ADMIN", "unix:/from/env")];
        let address = |target: anyhow::Result<Target>| target.unwrap().address.to_string();
        assert_eq!(address(find(Some("unix:/given"), Some(&file), &[])), "unix:/given");
        assert_eq!(address(find(None, Some(&file), &[])), "unix:/from/config");
        // The environment is part of the config, where it wins.
        assert_eq!(address(find(None, Some(&file), &vars)), "unix:/from/env");
        assert_eq!(address(find(None, None, &vars)), "unix:/from/env");
        assert_eq!(address(find(None, None, &[("POSTERN_DATA", "/d")])), "unix:/d/admin.sock");
        assert!(find(None, None, &[]).unwrap_err().to_string().contains("--admin"));
        assert!(find(Some("nonsense"), None, &[]).is_err());
    }

    #[test]
    fn a_network_listener_brings_token_and_certificate() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("p.toml");
        let text = "[listen]\nadmin = \"127.0.0.1:9\"\n[admin]\ntoken = \"1234567890123456789012\"";
        std::fs::write(&file, text).unwrap();
        let target = find(None, Some(&file), &[]).unwrap();
        assert_eq!(target.token.unwrap().reveal(), "1234567890123456789012");
        assert_eq!(target.ca.unwrap(), dir.path().join("development-ca.pem"));
        std::fs::write(&file, text.replace(":9", ":0")).unwrap();
        assert!(find(None, Some(&file), &[]).unwrap_err().to_string().contains("--admin"));
    }
}
