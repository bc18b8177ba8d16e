//! The verbs. Each asks the admin API and prints the answer itself.

use std::io::{self, IsTerminal};

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use hyper::Method;
use zeroize::Zeroizing;

use super::{
    client::AdminClient,
    print::{self, printable},
};
use crate::{
    admin::{
        path_segment,
        wire::{
            ClientKey, ClientView, PartnerChange, PasswordText, PluginDetail, PluginView, Status, UserChange,
            UserChanged, UserPage, UserView,
        },
    },
    control::wire::{Relation, RevokeTokens, Revoked},
};

#[derive(Debug, Subcommand)]
pub(super) enum PluginVerb {
    /// Plugins that serve, with their roles
    List,
    /// One plugin: grants, limits, state
    Describe {
        /// Its name
        name: String,
    },
    /// Load NAME.wasm from the plugin folder and have it serve its roles; loads it anew when it serves already
    Activate {
        /// Its name
        name: String,
    },
}

impl PluginVerb {
    pub async fn apply(self, server: &AdminClient) -> anyhow::Result<()> {
        match self {
            PluginVerb::List => {
                let plugins: Vec<PluginView> = server.get("/v1/plugins").await?;
                if server.json {
                    return print::json(&plugins);
                }
                plugin_table(&plugins)
            }
            PluginVerb::Describe { name } => {
                let detail: PluginDetail = server.get(&format!("/v1/plugins/{}", path_segment(&name))).await?;
                if server.json {
                    return print::json(&detail);
                }
                plugin_table(std::slice::from_ref(&detail.plugin))?;
                print::line(&format!("file    {}", detail.plugin.file))?;
                print::line(&format!("grants  {}", detail.grants.join(" ")))?;
                print::line(&format!("keys    {}", detail.keys.join(" ")))?;
                detail.limits.iter().try_for_each(|(name, value)| print::line(&format!("limit   {name} {value}")))
            }
            PluginVerb::Activate { name } => {
                let path = format!("/v1/plugins/{}/activate", path_segment(&name));
                let plugin: PluginView = server.ask(Method::POST, &path, None::<&()>).await?;
                if server.json {
                    return print::json(&plugin);
                }
                let PluginView { name, version, generation, roles, .. } = plugin;
                print::line(&format!("{name} {version} serves {} (generation {generation})", roles.join(", ")))
            }
        }
    }
}

fn plugin_table(plugins: &[PluginView]) -> anyhow::Result<()> {
    let row = |p: &PluginView| {
        [p.name.clone(), p.roles.join(","), p.version.clone(), p.generation.to_string(), p.state.clone()]
    };
    print::table(["NAME", "ROLES", "VERSION", "GENERATION", "STATE"], &plugins.iter().map(row).collect::<Vec<_>>())
}

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
                if server.json { print::json(&client) } else { client_table(&[client]) }
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
pub(super) enum UserVerb {
    /// Add a user, or change one: what is not given stays
    Add(UserArgs),
    /// All users
    List,
    /// Keep a user out; ends his tokens and links
    Lock {
        /// User id
        user: String,
    },
    /// Let a user in again
    Unlock {
        /// User id
        user: String,
    },
    /// Set a password; ends the user's tokens and links
    Passwd {
        /// User id
        user: String,
        /// Read the password from stdin instead of asking
        #[arg(long)]
        password_stdin: bool,
    },
    /// Remove a user; ends his tokens and links
    Remove {
        /// User id
        user: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct UserArgs {
    /// User id: 1 to 64 of A-Z a-z 0-9 . _ -
    user: String,
    /// The name that people read
    #[arg(long)]
    name: Option<String>,
    /// Organisation
    #[arg(long)]
    org: Option<String>,
    /// Department
    #[arg(long)]
    department: Option<String>,
    /// Title
    #[arg(long)]
    title: Option<String>,
    /// A group; give it once for each, they replace the user's former groups
    #[arg(long = "group", value_name = "GROUP")]
    groups: Vec<String>,
    /// Read the password from stdin instead of asking
    #[arg(long)]
    password_stdin: bool,
}

impl UserVerb {
    pub async fn apply(self, server: &AdminClient) -> anyhow::Result<()> {
        match self {
            UserVerb::Add(args) => {
                // Without a terminal nobody can be asked: an existing user keeps the password.
                let ask = args.password_stdin || io::stdin().is_terminal();
                let password = if ask { password(args.password_stdin)? } else { None };
                let change = UserChange {
                    name: args.name,
                    org: args.org,
                    department: args.department,
                    title: args.title,
                    groups: (!args.groups.is_empty()).then_some(args.groups),
                    locked: None,
                    password,
                };
                change_user(server, &args.user, &change, "saved").await
            }
            UserVerb::List => list_users(server).await,
            UserVerb::Lock { user } => {
                let change = UserChange { locked: Some(true), ..UserChange::default() };
                change_user(server, &user, &change, "locked").await
            }
            UserVerb::Unlock { user } => {
                let change = UserChange { locked: Some(false), ..UserChange::default() };
                change_user(server, &user, &change, "unlocked").await
            }
            UserVerb::Passwd { user, password_stdin } => {
                let password = password(password_stdin)?;
                if password.is_none() {
                    bail!("no password given");
                }
                let change = UserChange { password, ..UserChange::default() };
                change_user(server, &user, &change, "has a new password").await
            }
            UserVerb::Remove { user } => {
                let path = format!("/v1/users/{}", path_segment(&user));
                let done: UserChanged = server.ask(Method::DELETE, &path, None::<&()>).await?;
                told(server, &done, "removed")
            }
        }
    }
}

async fn change_user(server: &AdminClient, user: &str, change: &UserChange, what: &str) -> anyhow::Result<()> {
    // An existing user is changed; only `add` makes one.
    let method = if what == "saved" { Method::PUT } else { Method::PATCH };
    let done: UserChanged = server.ask(method, &format!("/v1/users/{}", path_segment(user)), Some(change)).await?;
    told(server, &done, what)
}

fn told(server: &AdminClient, done: &UserChanged, what: &str) -> anyhow::Result<()> {
    if server.json {
        return print::json(done);
    }
    match done.revoked {
        0 => print::line(&format!("{} {what}", printable(&done.user))),
        n => print::line(&format!("{} {what}, {n} tokens revoked", printable(&done.user))),
    }
}

async fn list_users(server: &AdminClient) -> anyhow::Result<()> {
    let mut users: Vec<UserView> = Vec::new();
    let mut path = "/v1/users".to_owned();
    loop {
        let page: UserPage = server.get(&path).await?;
        users.extend(page.users);
        match page.next_after {
            Some(after) => path = format!("/v1/users?after={}", path_segment(&after)),
            None => break,
        }
    }
    if server.json {
        return print::json(&users);
    }
    let row = |u: &UserView| {
        let state = if u.locked { "locked" } else { "active" };
        [u.user.clone(), u.name.clone(), u.org.clone(), u.groups.join(","), state.to_owned()]
    };
    print::table(["USER", "NAME", "ORG", "GROUPS", "STATE"], &users.iter().map(row).collect::<Vec<_>>())
}

/// Reads a password; none when an empty one was entered.
fn password(from_stdin: bool) -> anyhow::Result<Option<PasswordText>> {
    let mut text = Zeroizing::new(String::new());
    if from_stdin {
        io::stdin().read_line(&mut text).context("stdin")?;
        let length = text.trim_end_matches(['\r', '\n']).len();
        text.truncate(length);
        if text.is_empty() {
            bail!("stdin holds no password");
        }
    } else {
        *text = rpassword::prompt_password("Password: ").context("no terminal: use --password-stdin")?;
        if !text.is_empty() && *Zeroizing::new(rpassword::prompt_password("Again: ")?) != *text {
            bail!("the two passwords differ");
        }
    }
    Ok((!text.is_empty()).then(|| PasswordText::new(std::mem::take(&mut *text))))
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
            PartnerVerb::Remove { org, partner } => PartnerChange { org, partner, relation: Relation::Unrelated },
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
    plugin_table(&status.plugins)
}
