//! `postern user …`.

use std::io::{self, IsTerminal};

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use hyper::Method;
use zeroize::Zeroizing;

use super::{
    client::AdminClient,
    print::{self, printable},
};
use crate::admin::{
    path_segment,
    wire::{PasswordText, UserChange, UserChanged, UserPage, UserView},
};

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
                change_user(server, Method::PUT, &args.user, &change, "saved").await
            }
            UserVerb::List => list_users(server).await,
            UserVerb::Lock { user } => {
                let change = UserChange { locked: Some(true), ..UserChange::default() };
                change_user(server, Method::PATCH, &user, &change, "locked").await
            }
            UserVerb::Unlock { user } => {
                let change = UserChange { locked: Some(false), ..UserChange::default() };
                change_user(server, Method::PATCH, &user, &change, "unlocked").await
            }
            UserVerb::Passwd { user, password_stdin } => {
                let password = password(password_stdin)?;
                if password.is_none() {
                    bail!("no password given");
                }
                let change = UserChange { password, ..UserChange::default() };
                change_user(server, Method::PATCH, &user, &change, "has a new password").await
            }
            UserVerb::Remove { user } => {
                let path = format!("/v1/users/{}", path_segment(&user));
                let done: UserChanged = server.ask(Method::DELETE, &path, None::<&()>).await?;
                told(server, &done, "removed")
            }
        }
    }
}

/// PUT makes a user or changes one, PATCH only changes one.
async fn change_user(
    server: &AdminClient,
    method: Method,
    user: &str,
    change: &UserChange,
    what: &str,
) -> anyhow::Result<()> {
    let done: UserChanged =
        server.ask(method, &format!("/v1/users/{}", path_segment(user)), Some(change)).await?;
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
