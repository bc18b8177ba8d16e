//! The verbs. Each asks the admin API and prints the answer itself.

use anyhow::bail;
use clap::{Args, Subcommand};
use hyper::Method;

use super::{
    client::AdminClient,
    plugins,
    print::{self, printable},
    reload,
};
use crate::{
    admin::wire::{ClientKey, ClientView, PartnerChange, Status},
    command::AccountView,
    control::wire::{Relation, RevokeTokens, Revoked},
};

#[derive(Debug, Subcommand)]
pub(super) enum ClientVerb {
    /// All sessions
    List,
    /// One session
    Show(ClientArgs),
    /// End the link of a session; MQTT 5 clients are told why
    Kick(ClientArgs),
}

#[derive(Debug, Args)]
pub(super) struct ClientArgs {
    /// MQTT client id
    client_id: String,
    /// The user it is signed in as, where several have a device of this name
    #[arg(long)]
    user: Option<String>,
}

impl ClientVerb {
    pub async fn apply(self, server: &AdminClient) -> anyhow::Result<()> {
        match self {
            ClientVerb::List => {
                let clients: Vec<ClientView> = server.get("/v1/clients").await?;
                if server.json { print::json(&clients) } else { client_table(&clients) }
            }
            ClientVerb::Show(ClientArgs { client_id, user }) => {
                let key = ClientKey { client_id, user };
                let client: ClientView = server.ask(Method::POST, "/v1/clients/show", Some(&key)).await?;
                if server.json {
                    return print::json(&client);
                }
                client_table(std::slice::from_ref(&client))?;
                client.terminal.as_ref().map_or(Ok(()), account)
            }
            ClientVerb::Kick(ClientArgs { client_id, user }) => {
                let key = ClientKey { client_id, user };
                let client: ClientView = server.ask(Method::POST, "/v1/clients/kick", Some(&key)).await?;
                if server.json {
                    return print::json(&client);
                }
                print::line(&format!("{} kicked", printable(&client.client_id)))
            }
        }
    }
}

fn client_table(clients: &[ClientView]) -> anyhow::Result<()> {
    let row = |c: &ClientView| {
        [
            c.client_id.clone(),
            c.user.clone().unwrap_or_default(),
            if c.connected { "online" } else { "offline" }.to_owned(),
            c.subscriptions.to_string(),
            c.queued.to_string(),
            c.inflight.to_string(),
        ]
    };
    let rows: Vec<_> = clients.iter().map(row).collect();
    print::table(["CLIENT", "USER", "STATE", "SUBSCRIPTIONS", "QUEUED", "IN-FLIGHT"], &rows)
}

#[derive(Debug, Subcommand)]
pub(super) enum PartnerVerb {
    /// Make two organisations partners
    Add {
        /// Organisation
        org: String,
        /// Its partner
        partner: String,
        /// What the partner is to the organisation
        #[arg(long, value_parser = ["upstream", "downstream"])]
        relation: String,
    },
    /// End a partnership
    Remove {
        /// Organisation
        org: String,
        /// Its partner
        partner: String,
    },
}

impl PartnerVerb {
    pub async fn apply(self, server: &AdminClient) -> anyhow::Result<()> {
        let change = match self {
            PartnerVerb::Add { org, partner, relation } => {
                let relation = if relation == "upstream" { Relation::Upstream } else { Relation::Downstream };
                PartnerChange { org, partner, relation }
            }
            PartnerVerb::Remove { org, partner } => {
                PartnerChange { org, partner, relation: Relation::Unrelated }
            }
        };
        let done: PartnerChange = server.ask(Method::PUT, "/v1/partners", Some(&change)).await?;
        if server.json {
            return print::json(&done);
        }
        let PartnerChange { org, partner, relation } = done;
        let relation = format!("{relation:?}").to_lowercase();
        print::line(&format!("{} is {relation} to {}", printable(&partner), printable(&org)))
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum TokenVerb {
    /// Make tokens invalid; links that use them end
    Revoke(RevokeArgs),
}

#[derive(Debug, Args)]
pub(super) struct RevokeArgs {
    /// All tokens of a user
    #[arg(long, required_unless_present = "token", conflicts_with = "token")]
    user: Option<String>,
    /// Only those of this client id
    #[arg(long, requires = "user")]
    device: Option<String>,
    /// One token, by its id
    #[arg(long)]
    token: Option<String>,
}

impl TokenVerb {
    pub async fn apply(self, server: &AdminClient) -> anyhow::Result<()> {
        let TokenVerb::Revoke(args) = self;
        let which = match (args.token, args.user, args.device) {
            (Some(id), ..) => RevokeTokens::Token { id },
            (None, Some(user), Some(client_id)) => RevokeTokens::Device { user, client_id },
            (None, Some(user), None) => RevokeTokens::User { user },
            (None, None, _) => bail!("give --user or --token"),
        };
        let revoked: Revoked = server.ask(Method::POST, "/v1/tokens/revoke", Some(&which)).await?;
        if server.json {
            return print::json(&revoked);
        }
        print::line(&format!("{} tokens revoked", revoked.tokens.len()))
    }
}

/// `postern status`.
pub(super) async fn status(server: &AdminClient) -> anyhow::Result<()> {
    let status: Status = server.get("/v1/status").await?;
    if server.json {
        return print::json(&status);
    }
    print::line(&format!("postern {}  roles {}", status.version, status.roles.join(",")))?;
    print::line(if status.ready { "ready" } else { "not ready" })?;
    status.missing.iter().try_for_each(|what| print::line(&format!("  {what}")))?;
    print::line(&format!("up {} s", status.uptime_secs))?;
    print::line(&format!("clients {} connected, {} sessions", status.clients_connected, status.sessions))?;
    status.listeners.iter().try_for_each(|l| print::line(&format!("listening {} {}", l.name, l.address)))?;
    reload::standing(&status)?;
    plugins::table(&status.plugins)?;
    let Some(terminals) = &status.terminals else { return Ok(()) };
    print::line(&format!("terminals {} on plain, {} on TLS", terminals.plain, terminals.tls))?;
    account(&terminals.account)
}

/// What links of terminals carried and cost.
fn account(account: &AccountView) -> anyhow::Result<()> {
    let AccountView { plain_secs, tls_secs, plain_bytes, tls_bytes, switches, .. } = account;
    let AccountView { full_handshakes, resumed_handshakes, always_tls_bytes, saved_bytes, .. } = account;
    print::line(&format!("  on plain    {plain_secs} s, {plain_bytes} bytes"))?;
    print::line(&format!("  on TLS      {tls_secs} s, {tls_bytes} bytes"))?;
    print::line(&format!("  switches    {switches}"))?;
    print::line(&format!("  handshakes  {full_handshakes} full, {resumed_handshakes} resumed"))?;
    let (saved, verb) = (saved_bytes.unsigned_abs(), if *saved_bytes < 0 { "more" } else { "less" });
    print::line(&format!("  always TLS  {always_tls_bytes} bytes; this way {saved} {verb}"))
}
