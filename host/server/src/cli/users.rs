//! `postern user …`.

use std::{
    fs,
    io::{self, IsTerminal},
};

use anyhow::{Context, anyhow, bail};
use base64::{
    Engine,
    alphabet::URL_SAFE,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::URL_SAFE_NO_PAD},
};
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
    /// The public key that a terminal logs in by, as it prints it (Ed25519, base64), or a file with it.
    /// Then no password is asked for. Another key than before ends the user's tokens and links
    #[arg(long, value_name = "KEY|FILE", allow_hyphen_values = true)]
    key: Option<String>,
    /// Take the public key away
    #[arg(long, conflicts_with = "key")]
    no_key: bool,
}

impl UserVerb {
    pub async fn apply(self, server: &AdminClient) -> anyhow::Result<()> {
        match self {
            UserVerb::Add(args) => {
                // Without a terminal nobody can be asked: an existing user keeps the password.
                let of_keys = args.key.is_some() || args.no_key;
                let ask = args.password_stdin || (io::stdin().is_terminal() && !of_keys);
                let password = if ask { password(args.password_stdin)? } else { None };
                let key = args.key.as_deref().map(public_key).transpose()?;
                let change = UserChange {
                    name: args.name,
                    org: args.org,
                    department: args.department,
                    title: args.title,
                    groups: (!args.groups.is_empty()).then_some(args.groups),
                    locked: None,
                    password,
                    key: if args.no_key { Some(String::new()) } else { key },
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
        let key = u.key.clone().unwrap_or_default();
        [u.user.clone(), u.name.clone(), u.org.clone(), u.groups.join(","), state.to_owned(), key]
    };
    let rows: Vec<_> = users.iter().map(row).collect();
    print::table(["USER", "NAME", "ORG", "GROUPS", "STATE", "KEY"], &rows)
}

/// A public key as it was given, or from the first line of the file that was named: base64url.
fn public_key(given: &str) -> anyhow::Result<String> {
    let plain = |text: &str| read_key(text).map(|key| URL_SAFE_NO_PAD.encode(key));
    if let Some(key) = plain(given) {
        return Ok(key);
    }
    let none = "a public key is 32 bytes in base64";
    let text = fs::read_to_string(given).map_err(|e| anyhow!("--key: {none}, and no such file: {e}"))?;
    plain(text.lines().next().unwrap_or_default()).with_context(|| format!("--key: {given}: {none}"))
}

/// Base64 in either alphabet, padded or not.
fn read_key(text: &str) -> Option<[u8; 32]> {
    let lenient = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let text = text.trim().replace('+', "-").replace('/', "_");
    GeneralPurpose::new(&URL_SAFE, lenient).decode(text).ok()?.try_into().ok()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule_12_a_key_is_given_as_text_or_as_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let (file, wrong) = (folder.path().join("key.pub"), folder.path().join("wrong"));
        let text = &("-_3".repeat(14) + "8");
        let key = public_key(text).unwrap();
        assert_eq!(&key, text);
        for same in [text.replace('-', "+").replace('_', "/") + "=", format!(" {text}\n")] {
            assert_eq!(public_key(&same).unwrap(), key, "{same:?}");
        }
        fs::write(&file, format!("{text}\nanother line\n")).unwrap();
        assert_eq!(public_key(file.to_str().unwrap()).unwrap(), key);
        fs::write(&wrong, &text[..42]).unwrap();
        for (given, named) in
            [(wrong.to_str().unwrap(), "wrong"), (&text[..42], "no such file"), ("", "--key")]
        {
            let told = public_key(given).unwrap_err().to_string();
            assert!(told.contains("--key") && told.contains(named) && !told.contains('\n'), "{told}");
        }
    }
}
