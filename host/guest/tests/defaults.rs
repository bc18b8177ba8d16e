//! The default plugins behind their faces, on a real database.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // helpers of tests

mod support;

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use postern_guest::roles::classify::{Class, Facts, SenderFacts};
use postern_guest::roles::encrypt::{self, Decision};
use postern_guest::roles::login::{Account, Attempt, LoginError};
use postern_guest::roles::store::{self, Address, Conversation, Marker, Message, Saved};
use postern_guest::roles::token::{
    self, Credential, Denial, Holder, NameAndPassword, Outcome, Selector, TokenError,
};
use postern_guest::roles::types::{Link, Partner, Profile, Relation, Transport};
use postern_guest::{CallError, Down, PluginPolicy, Role, Secret, Slots};
use support::{Bench, built, facts, rogue};

async fn slots(bench: &Bench, plugins: &[(Role, &str)]) -> Slots {
    let text =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../policies/default.toml")).unwrap();
    let policy: toml::Table = text.parse().unwrap();
    let policies = move |name: &str| -> PluginPolicy { policy["plugins"][name].clone().try_into().unwrap() };
    let slots = Slots::new();
    for (role, name) in plugins {
        let plugin = bench.runtime.load(&built(name), &policies).await.unwrap();
        assert_eq!(plugin.name(), *name);
        slots.activate(*role, plugin).unwrap();
    }
    slots
}

fn alice() -> Profile {
    Profile {
        user: "alice".into(),
        name: "Alice".into(),
        org: "acme".into(),
        groups: vec!["staff".into()],
        ..Profile::default()
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis().try_into().unwrap()
}

fn attempt(user: &str) -> Attempt {
    Attempt { user: user.into(), client_id: "phone".into(), address: "127.0.0.1".into(), now: now() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c1_login_is_decided_by_the_component() {
    let bench = Bench::new().await;
    let slots = slots(&bench, &[(Role::Login, "login-table")]).await;
    let login = slots.login();
    let password = Secret::new("correct horse".into());
    let account = Account { profile: alice(), locked: false, key: None };
    login.put_user(account.clone(), Some(&password)).await.unwrap();
    assert_eq!(login.login(attempt("alice"), &password).await, Ok(alice()));
    let denied = Err(CallError::Answer(LoginError::Denied));
    assert_eq!(login.login(attempt("alice"), &Secret::new("wrong horse".into())).await, denied);
    assert_eq!(login.login(attempt("nobody"), &password).await, denied);

    login.put_partner("acme", Partner { org: "parts".into(), relation: Relation::Upstream }).await.unwrap();
    assert_eq!(login.partners("acme").await.unwrap()[0].org, "parts");
    assert_eq!(login.find("alice").await.unwrap(), Some(alice()));
    assert_eq!(login.members("staff").await.unwrap(), Some(vec!["alice".into()]));
    assert_eq!(login.members("none").await.unwrap(), None);
    assert_eq!(login.visible("alice", None, 10).await.unwrap().len(), 1);
    assert_eq!(login.list_users(None, 10).await.unwrap(), [account]);
    assert!(login.remove_user("alice").await.unwrap());
    assert_eq!(login.find("alice").await.unwrap(), None);
    // What was borrowed and lent is back: the one instance has served all calls.
    assert_eq!(slots.info(Role::Login).unwrap().instances, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a7_the_token_is_issued_by_the_component_and_its_key_leaves_it_once() {
    let bench = Bench::new().await;
    let slots = slots(&bench, &[(Role::Token, "token-hmac")]).await;
    let token = slots.token();
    assert_eq!(token.admits_anonymous().await, Ok(false));
    let holder = Holder { profile: alice(), partners: vec![], client_id: "phone".into() };
    let issued = token.issue(holder.clone(), now()).await.unwrap();
    let other = token.issue(holder.clone(), now()).await.unwrap();
    assert_ne!(issued.key.expose(), other.key.expose());
    assert!(!format!("{issued:?}").contains(&issued.bearer), "nothing secret gets into a log");

    let by_bearer = |transport, listener: &str, password: &str| token::Attempt {
        client_id: "phone".into(),
        credential: Credential::Password(NameAndPassword {
            user_name: issued.token_id.clone(),
            password: password.as_bytes().to_vec(),
        }),
        link: Link { transport, listener: listener.into(), address: "127.0.0.1".into() },
        now: now(),
    };
    let granted = token.verify(by_bearer(Transport::Tls, "tls", &issued.bearer)).await.unwrap();
    let Outcome::Granted(grant) = granted else { panic!("{granted:?}") };
    assert_eq!((grant.profile, grant.client_id.as_str()), (Some(alice()), "phone"));
    assert!(grant.rights.messaging);
    let refused = token.verify(by_bearer(Transport::Plain, "tcp", &issued.bearer)).await;
    assert!(matches!(refused, Err(CallError::Answer(TokenError::Denied(_)))), "{refused:?}");

    let renewed = token.renew(&issued.token_id, holder, now()).await.unwrap();
    assert_ne!(renewed.token_id, issued.token_id);
    let revoked = token.revoke(Selector::Token(issued.token_id.clone()), now()).await.unwrap();
    assert_eq!(revoked.len(), 2, "and what it was renewed to: {revoked:?}");
    assert!(revoked.contains(&issued.token_id) && revoked.contains(&renewed.token_id));
    let refused = token.verify(by_bearer(Transport::Tls, "tls", &issued.bearer)).await;
    assert!(
        matches!(
            refused,
            Err(CallError::Answer(TokenError::Denied(Denial::Expired | Denial::BadCredentials)))
        ),
        "{refused:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a10_save_answers_after_the_commit() {
    let bench = Bench::new().await;
    let slots = slots(&bench, &[(Role::Store, "store-sql")]).await;
    let store = slots.store();
    let message = |id: &str| Message {
        id: id.into(),
        class: store::Class::Instant,
        sender: "alice".into(),
        sender_device: "phone".into(),
        to: Address::User("bob".into()),
        topic: "im/u/bob/alice".into(),
        body: Bytes::from_static(b"hello \xff"),
        properties: Bytes::new(),
        sent_at: now(),
        expires_at: None,
        recipients: vec!["alice".into(), "bob".into()].into(),
    };
    let saved = store.save(vec![message("1"), message("2"), message("1")]).await.unwrap();
    assert!(
        matches!(&saved[0], Saved::Stored(places) if places.len() == 2 && places[1].seq == 1),
        "{saved:?}"
    );
    assert_eq!(saved[2], Saved::Duplicate);
    assert_eq!(store.head("bob").await, Ok(2));
    let inbox = store.inbox("bob", 1, 10).await.unwrap();
    assert_eq!((inbox.len(), inbox[0].seq, inbox[0].body.as_ref()), (1, 2, &b"hello \xff"[..]));
    let with = Conversation::With("alice".into());
    assert_eq!(store.history("bob", Some(with.clone()), None, 10).await.unwrap().len(), 2);
    let marker = Marker { conversation: with, seq: 2 };
    store.mark_read("bob", marker.clone()).await.unwrap();
    assert_eq!(store.markers("bob").await, Ok(vec![marker]));

    // The next generation finds what this one stored.
    let policy = "grants = ['log', 'clock', 'config', 'sql']";
    let again = bench.load_file(&built("store-sql"), policy).await.unwrap();
    slots.activate(Role::Store, again).unwrap();
    assert_eq!(store.head("bob").await, Ok(2));
}

#[tokio::test]
async fn a16_classify_borrows_all_it_is_told() {
    let bench = Bench::new().await;
    let slots = slots(&bench, &[(Role::Classify, "classify-topic")]).await;
    let sender = Arc::new(SenderFacts { client_id: "phone".into(), profile: Some(alice()) });
    let payload = vec![7; 256];
    let told = Facts { sender: Some(&sender), payload: &payload, ..facts(1) };
    assert_eq!(slots.classify().classify(&told).unwrap().class, Class::Instant);
    let other = Facts { topic: "sensors/1", ..told };
    assert_eq!(slots.classify().classify(&other).unwrap().class, Class::Other);
}

#[tokio::test]
async fn a16_classify_asks_for_the_sender_of_the_message_at_hand() {
    let bench = Bench::new().await;
    let group = alice().groups.first().cloned().unwrap();
    let policy = format!("grants = ['log', 'config']\n[config.notifiers]\ngroups = ['{group}']");
    let plugin = bench.load_file(&built("classify-topic"), &policy).await.unwrap();
    let slots = Slots::new();
    slots.activate(Role::Classify, plugin).unwrap();

    let sender = |profile| Arc::new(SenderFacts { client_id: "phone".into(), profile: Some(profile) });
    let (member, stranger) = (sender(alice()), sender(Profile { groups: vec![], ..alice() }));
    let from = |sender| Facts { topic: "note/bob", sender, ..facts(1) };
    let class = |facts: Facts<'_>| slots.classify().classify(&facts).map(|verdict| verdict.class);
    assert_eq!(class(from(Some(&member))), Ok(Class::Notification));
    // One instance, one after the other: nothing stays of the sender before.
    assert!(class(from(Some(&stranger))).is_err());
    assert!(class(from(None)).is_err());
}

#[tokio::test]
async fn a16_classify_is_told_the_senders_client_id_and_profile() {
    let bench = Bench::new().await;
    let policy = "grants = ['log', 'config']\nconfig = { misbehave = 'name-sender' }";
    // It checks in `prepare` that nobody sends then.
    let plugin = bench.load_file(&rogue("rogue-classify"), policy).await.unwrap();
    let slots = Slots::new();
    slots.activate(Role::Classify, plugin).unwrap();
    let phone = |profile| Arc::new(SenderFacts { client_id: "phone".into(), profile });
    for (sender, named) in
        [(Some(phone(Some(alice()))), "phone alice"), (Some(phone(None)), "phone "), (None, " ")]
    {
        let told = Facts { sender: sender.as_ref(), ..facts(1) };
        let verdict = slots.classify().classify(&told).unwrap();
        assert_eq!(verdict.payload.as_deref(), Some(named.as_bytes()));
    }
}

#[tokio::test]
async fn c3_a_typing_mistake_in_a_plugins_table_is_told() {
    let bench = Bench::new().await;
    for (table, told) in
        [("all_othr = true", "`all_othr`"), ("notifiers = { user = [] }", "`notifiers.user`")]
    {
        let policy = format!("grants = ['log', 'config']\nconfig = {{ {table} }}");
        let refused = bench.load_file(&built("classify-topic"), &policy).await.unwrap_err().to_string();
        assert!(refused.contains(told), "{refused}");
    }
}

#[tokio::test]
async fn b3_encrypt_decides_on_the_calling_thread() {
    let bench = Bench::new().await;
    let slots = slots(&bench, &[(Role::Encrypt, "encrypt-on-demand")]).await;
    let facts = |link| encrypt::Facts {
        terminal: "car-7".into(),
        requester: "alice".into(),
        command_class: "remote-control".into(),
        follow_ups: vec![],
        link,
        recent_secure_commands: 0,
        now: now(),
    };
    assert_eq!(slots.encrypt().decide(facts(Some(Transport::Tls))), Ok(Decision::SendNow));
    assert_eq!(slots.encrypt().decide(facts(Some(Transport::Plain))), Ok(Decision::SaveAndInstruct));
}

#[tokio::test]
async fn c6_roles_that_may_wait_say_when_nobody_serves() {
    let slots = Slots::new();
    let absent = CallError::Down(Down::Absent);
    assert_eq!(slots.store().head("bob").await, Err(CallError::Down(Down::Absent)));
    assert_eq!(slots.login().login(attempt("a"), &Secret::new("b".into())).await, Err(absent));
    assert_eq!(slots.token().admits_anonymous().await, Err(Down::Absent));
}
