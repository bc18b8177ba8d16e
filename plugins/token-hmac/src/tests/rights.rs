//! Templates, the policy files, and records.

use super::*;
use crate::{
    bindings::postern::host::config::Value,
    record::Record,
    rights::{Template, Who},
    settings::Config,
};

/// The plugin's table of a policy file.
struct Table(toml::Table);

impl Table {
    fn of(policy: &str) -> Self {
        let file = format!("{}/../../policies/{policy}.toml", env!("CARGO_MANIFEST_DIR"));
        let policy: toml::Table = std::fs::read_to_string(file).unwrap().parse().unwrap();
        Table(policy["plugins"]["token-hmac"]["config"].as_table().unwrap().clone())
    }

    fn at(&self, key: &str) -> Option<toml::Value> {
        key.split('.')
            .filter(|key| !key.is_empty())
            .try_fold(toml::Value::Table(self.0.clone()), |table, key| table.get(key).cloned())
    }
}

impl Config for Table {
    fn get(&self, key: &str) -> Option<Value> {
        match self.at(key)? {
            toml::Value::Boolean(flag) => Some(Value::Flag(flag)),
            toml::Value::Integer(number) => Some(Value::Integer(number)),
            toml::Value::String(text) => Some(Value::Text(text)),
            toml::Value::Array(list) => {
                Some(Value::Texts(list.into_iter().map(|text| text.as_str().unwrap().to_owned()).collect()))
            }
            _ => None,
        }
    }
    fn keys(&self, prefix: &str) -> Vec<String> {
        match self.at(prefix) {
            Some(toml::Value::Table(table)) => table.keys().cloned().collect(),
            _ => Vec::new(),
        }
    }
}

#[test]
fn the_default_policy_spells_out_the_defaults() {
    let read = Settings::read(&Table::of("default")).unwrap();
    assert_eq!(format!("{read:?}"), format!("{:?}", Settings::default()));
    assert_eq!(format!("{:?}", Settings::read(&Table(toml::Table::new())).unwrap()), format!("{read:?}"));
}

#[test]
fn the_other_policies_are_what_they_say() {
    let open = Settings::read(&Table::of("open")).unwrap();
    assert!(open.anonymous && open.keep_alive_secs == Some(60));
    let rights = open.anonymous_rights.fill(Who { profile: None, client_id: "a/b" });
    assert_eq!(
        (rights.publish.allow, rights.subscribe.deny),
        (vec!["#".into()], vec!["test/nosubscribe".into()])
    );
    let bench = Settings::read(&Table::of("bench")).unwrap();
    assert!(!bench.anonymous && bench.plain.messaging && bench.plain == bench.tls);
}

#[test]
fn wrong_keys_are_named() {
    for (text, named) in [
        ("anonymus = true", "`anonymus`"),
        ("anonymous = 1", "`anonymous`"),
        ("lifetime_secs = -1", "`lifetime_secs`"),
        ("limits.keep_alive_secs = 70000", "`limits.keep_alive_secs`"),
        ("rights.wifi.publish = []", "`rights.wifi`"),
        ("rights.tls.publsh = []", "`rights.tls.publsh`"),
        ("rights.tls.publish = ['im/{usr}']", "`rights.tls`: `im/{usr}`"),
    ] {
        let error = Settings::read(&Table(text.parse().unwrap())).unwrap_err();
        assert!(error.contains(named), "{text}: {error}");
    }
}

#[test]
fn plain_has_no_chat_and_no_stored_messages() {
    let holder = holder("alice", "phone");
    let who = Who { profile: Some(&holder.profile), client_id: "phone" };
    let plain = Template::plain().fill(who);
    assert!(!plain.messaging);
    assert!(
        plain.publish.allow.iter().chain(&plain.subscribe.allow).all(|filter| !filter.starts_with("im/"))
    );
    let tls = Template::tls().fill(who);
    assert!(tls.messaging);
    for filter in ["im/u/+/alice", "im/g/ops/alice", "im/g/all-hands/alice/+", "cmd/alice/result"] {
        assert!(tls.publish.allow.iter().any(|allowed| allowed == filter), "{filter}");
    }
    assert!(tls.subscribe.allow.contains(&"im/g/ops/#".into()));
}

#[test]
fn filled_in_words_are_one_level() {
    let mut holder = holder("alice", "phone");
    holder.profile.org = "a/#".into();
    holder.profile.groups.push("x/+".into());
    let template = Template {
        publish: vec!["o/{org}".into(), "c/{client}".into(), "g/{group}".into()],
        deny_publish: vec!["d/{org}".into(), "d/{group}".into()],
        ..Template::default()
    };
    let rights = template.fill(Who { profile: Some(&holder.profile), client_id: "+" });
    assert_eq!(rights.publish.allow, ["g/ops", "g/all-hands"]);
    assert_eq!(rights.publish.deny, ["d/+", "d/ops", "d/all-hands"]);
    for (user, client) in [("a/b", "phone"), ("", "phone"), ("alice", "#"), ("alice", "")] {
        let answer =
            tokens::issue(&Memory::default(), &Settings::default(), super::holder(user, client), NOW);
        assert!(matches!(answer, Err(TokenError::Denied(Denial::Misplaced))), "{user} {client}");
    }
}

#[test]
fn records_are_read_as_they_were_written() {
    let Holder { profile, partners, client_id } = holder("alice", "phone");
    let record = Record {
        profile,
        partners,
        client_id,
        login_at: 1,
        expires_at: u64::MAX,
        family: "f".into(),
        revoked: true,
    };
    let bytes = record.encode();
    assert_eq!(format!("{:?}", Record::decode(&bytes).unwrap()), format!("{record:?}"));
    for cut in 0..bytes.len() {
        assert!(Record::decode(&bytes[..cut]).is_none(), "cut at {cut}");
    }
    assert!(Record::decode(&[&bytes[..], &[0]].concat()).is_none());
    assert!(Record::decode(&[&[3], &bytes[1..]].concat()).is_none());
}
