//! What an answer means. Whatever is not understood is a failure of the endpoint: nobody gets in by it.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::bindings::{
    exports::postern::login::{directory::Entry, verify::LoginError},
    postern::host::types::{Partner, Profile, Relation},
};

/// Told when the endpoint says "too many" and not for how long, in seconds.
const LATER: u32 = 60;

/// An answer of the endpoint.
#[derive(Debug)]
pub struct Answer {
    /// HTTP's status.
    pub status: u16,
    /// `Retry-After` in seconds.
    pub retry_after: Option<u32>,
    /// JSON.
    pub body: Vec<u8>,
}

#[derive(Deserialize)]
struct Person {
    user: String,
    name: String,
    org: String,
    #[serde(default)]
    department: String,
    #[serde(default)]
    title: String,
    #[serde(default)]
    groups: Vec<String>,
}

#[derive(Deserialize)]
struct Seen {
    user: String,
    name: String,
    org: String,
    #[serde(default)]
    department: String,
    #[serde(default)]
    title: String,
    relation: Told,
}

#[derive(Deserialize)]
struct Partnership {
    org: String,
    relation: Told,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Told {
    Same,
    Internal,
    Upstream,
    Downstream,
}

impl Answer {
    /// The answer to a login of `user`.
    ///
    /// # Errors
    /// `Denied` for 401, 403 and 404; `RetryAfter` for 429; `Unavailable` for anything but the profile of that
    /// very user.
    pub fn login(&self, user: &str) -> Result<Profile, LoginError> {
        match self.status {
            401 | 403 | 404 => return Err(LoginError::Denied),
            429 => return Err(LoginError::RetryAfter(self.retry_after.unwrap_or(LATER))),
            _ => {}
        }
        let profile: Profile = self.json::<Person>().map_err(LoginError::Unavailable)?.into();
        if profile.user == user {
            Ok(profile)
        } else {
            Err(LoginError::Unavailable("the endpoint answered about another user".to_owned()))
        }
    }

    /// A user's profile; none for 404.
    ///
    /// # Errors
    /// Anything else than 200 and a profile.
    pub fn profile(&self) -> Result<Option<Profile>, String> {
        Ok(self.found::<Person>()?.map(Into::into))
    }

    /// The partners of an organisation; nobody for 404.
    ///
    /// # Errors
    /// Anything else than 200 and a list of them.
    pub fn partners(&self) -> Result<Vec<Partner>, String> {
        let told = self.found::<Vec<Partnership>>()?.unwrap_or_default();
        Ok(told.into_iter().map(|p| Partner { org: p.org, relation: p.relation.into() }).collect())
    }

    /// A group's members, sorted, each once; none for 404.
    ///
    /// # Errors
    /// Anything else than 200 and a list of them.
    pub fn members(&self) -> Result<Option<Vec<String>>, String> {
        let mut members = self.found::<Vec<String>>()?;
        if let Some(members) = &mut members {
            members.sort_unstable();
            members.dedup();
        }
        Ok(members)
    }

    /// People whom a user may see, sorted; nobody for 404.
    ///
    /// # Errors
    /// Anything else than 200 and a list of them.
    pub fn visible(&self, after: Option<&str>, limit: u32) -> Result<Vec<Entry>, String> {
        let told = self.found::<Vec<Seen>>()?.unwrap_or_default();
        let mut seen: Vec<Entry> = told.into_iter().map(Into::into).collect();
        seen.retain(|entry| after.is_none_or(|after| entry.user.as_str() > after));
        seen.sort_unstable_by(|a, b| a.user.cmp(&b.user));
        seen.dedup_by(|a, b| a.user == b.user);
        seen.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(seen)
    }

    fn found<T: DeserializeOwned>(&self) -> Result<Option<T>, String> {
        if self.status == 404 { Ok(None) } else { self.json().map(Some) }
    }

    fn json<T: DeserializeOwned>(&self) -> Result<T, String> {
        if self.status != 200 {
            return Err(format!("the endpoint answered {}", self.status));
        }
        serde_json::from_slice(&self.body).map_err(|error| format!("the endpoint's answer: {error}"))
    }
}

impl From<Person> for Profile {
    fn from(Person { user, name, org, department, title, groups }: Person) -> Self {
        Profile { user, name, org, department, title, groups }
    }
}

impl From<Seen> for Entry {
    fn from(Seen { user, name, org, department, title, relation }: Seen) -> Self {
        Entry { user, name, org, department, title, relation: relation.into() }
    }
}

impl From<Told> for Relation {
    fn from(told: Told) -> Self {
        match told {
            Told::Same => Relation::Same,
            Told::Internal => Relation::Internal,
            Told::Upstream => Relation::Upstream,
            Told::Downstream => Relation::Downstream,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer { status, retry_after: None, body: body.into() }
    }

    const ALICE: &str = r#"{"user":"alice","name":"Alice","org":"acme","groups":["ops"],"more":1}"#;

    #[test]
    fn a_login_needs_the_profile_of_that_very_user() {
        let profile = answer(200, ALICE).login("alice").unwrap();
        assert_eq!((profile.name.as_str(), profile.groups.join(",")), ("Alice", "ops".into()));
        assert!(matches!(answer(200, ALICE).login("bob"), Err(LoginError::Unavailable(_))));
    }

    #[test]
    fn a5_what_is_not_understood_lets_nobody_in() {
        for (status, body) in
            [(200, ""), (200, "{}"), (200, "null"), (200, "[]"), (204, ALICE), (302, ALICE), (500, ALICE)]
        {
            let denied = answer(status, body).login("alice");
            assert!(matches!(denied, Err(LoginError::Unavailable(_))), "{status} {body}");
        }
        for status in [401, 403, 404] {
            assert!(matches!(answer(status, ALICE).login("alice"), Err(LoginError::Denied)), "{status}");
        }
        let later = Answer { retry_after: Some(7), ..answer(429, "") };
        assert!(matches!(later.login("alice"), Err(LoginError::RetryAfter(7))));
        assert!(matches!(answer(429, "").login("alice"), Err(LoginError::RetryAfter(LATER))));
    }

    #[test]
    fn members_and_people_are_sorted_each_once() {
        let members = answer(200, r#"["bob","Zoe","bob","alice"]"#).members().unwrap().unwrap();
        assert_eq!(members, ["Zoe", "alice", "bob"]);
        assert_eq!(answer(404, "").members().unwrap(), None);
        assert!(answer(503, "[]").members().is_err());
        let person = |user| format!(r#"{{"user":"{user}","name":"n","org":"o","relation":"internal"}}"#);
        let body = format!("[{},{},{},{}]", person("d"), person("b"), person("a"), person("c"));
        let seen = answer(200, &body).visible(Some("a"), 2).unwrap();
        assert_eq!(seen.iter().map(|e| e.user.as_str()).collect::<Vec<_>>(), ["b", "c"]);
    }

    #[test]
    fn partners_are_upstream_or_downstream() {
        let body = r#"[{"org":"parts","relation":"upstream"}]"#;
        assert_eq!(answer(200, body).partners().unwrap()[0].relation, Relation::Upstream);
        assert!(answer(200, r#"[{"org":"x","relation":"friend"}]"#).partners().is_err());
    }
}
