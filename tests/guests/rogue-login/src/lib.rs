//! Lets everyone in who types a password or signs anything.

mod bindings {
    wit_bindgen::generate!({
        path: ["../../../wit/host", "../../../wit/login"],
        world: "postern:login/login-plugin",
        generate_all,
    });
    export!(Plugin);
    use super::Plugin;
}

use bindings::{
    exports::postern::login::{
        accounts::{self, Account, AccountsError},
        directory::{self, DirectoryError, Entry},
        verify::{self, Attempt, LoginError},
    },
    postern::host::{
        password::{self, Secret},
        proof::Signed,
        types::{Partner, Profile, Relation},
    },
};
use rogue::{Mode, giant};

rogue::lifecycle!(Ok(()));

fn obey(user: &str) -> Mode {
    orders().carry_out(user == "boom", log)
}

fn profile(user: &str, mode: Mode) -> Profile {
    let user = match mode {
        Mode::Nonsense => "../not an id\n".to_owned(),
        _ => user.to_owned(),
    };
    let name = if mode == Mode::Giant { giant() } else { user.clone() };
    let (department, title) = (String::new(), String::new());
    Profile { user, name, org: "rogue".into(), department, title, groups: vec!["rogues".into()] }
}

impl verify::Guest for Plugin {
    fn login(attempt: Attempt, typed: &Secret) -> Result<Profile, LoginError> {
        let mode = obey(&attempt.user);
        password::verify(typed, None);
        if typed.length() == 0 { Err(LoginError::Denied) } else { Ok(profile(&attempt.user, mode)) }
    }
    fn login_by_key(attempt: Attempt, signed: &Signed) -> Result<Profile, LoginError> {
        let mode = obey(&attempt.user);
        signed.verify(None);
        Ok(profile(&attempt.user, mode))
    }
}

impl directory::Guest for Plugin {
    fn find(user: String) -> Result<Option<Profile>, DirectoryError> {
        let mode = obey(&user);
        Ok(Some(profile(&user, mode)))
    }
    fn partners(_: String) -> Result<Vec<Partner>, DirectoryError> {
        Ok(Vec::new())
    }
    fn members(group: String) -> Result<Option<Vec<String>>, DirectoryError> {
        Ok(match obey(&group) {
            Mode::Nonsense => Some(vec!["b".into(), "a/b".into(), "b".into()]),
            Mode::Giant => Some(vec![giant()]),
            _ => Some(vec!["alice".into(), "bob".into()]),
        })
    }
    fn visible(user: String, after: Option<String>, _: u32) -> Result<Vec<Entry>, DirectoryError> {
        let mode = obey(&user);
        if after.is_some() && mode != Mode::Nonsense {
            return Ok(Vec::new());
        }
        let Profile { user, name, org, department, title, .. } = profile(&user, mode);
        Ok(vec![Entry { user, name, org, department, title, relation: Relation::Same }])
    }
}

impl accounts::Guest for Plugin {
    fn put_user(_: Account, _: Option<&Secret>) -> Result<(), AccountsError> {
        Ok(())
    }
    fn remove_user(_: String) -> Result<bool, AccountsError> {
        Ok(false)
    }
    fn list_users(_: Option<String>, _: u32) -> Result<Vec<Account>, AccountsError> {
        Ok(Vec::new())
    }
    fn put_partner(_: String, _: Partner) -> Result<(), AccountsError> {
        Err(AccountsError::Unsupported("everyone is welcome".into()))
    }
}
