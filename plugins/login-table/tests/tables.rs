//! Accounts, directory and login attempts on SQLite and on PostgreSQL.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod db;
#[path = "../../../host/store/tests/support/mod.rs"]
#[allow(unused_macros, unused_imports)] // uses a part of it
mod support;

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
};

use db::{Db, call};
use login_table::{
    accounts,
    bindings::{
        exports::postern::login::{accounts::Account, verify::LoginError},
        postern::host::types::{Partner, Profile, Relation},
    },
    people, schema,
    sql::Sql,
    verify::{self, Host, Lockout, Stored},
};
use postern_store::{Access::Read, Access::Write, PluginSql};
use support::Store;

macro_rules! on_both {
    ($($test:ident)*) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() { super::$test(super::Store::sqlite().await).await; })*
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() { super::$test(super::Store::postgres().await).await; })*
        }
    };
}

on_both! {
    a13_the_directory_has_colleagues_and_partners
    accounts_are_made_changed_and_removed
    every_refused_login_looks_and_costs_the_same
    rule_12_a_key_stays_until_it_is_changed_and_needs_no_password
    rule_12_tables_of_before_get_keys_and_lose_nothing
}

fn account(user: &str, org: &str, groups: &[&str]) -> Account {
    let groups = groups.iter().map(|&group| group.to_owned()).collect();
    let (department, title) = (String::new(), String::new());
    let profile =
        Profile { user: user.into(), name: user.to_uppercase(), org: org.into(), department, title, groups };
    Account { profile, locked: false, key: None }
}

async fn put(sql: &PluginSql, account: Account) {
    call(sql, Write, |db| accounts::put_user(db, account, Some("PHC".into()))).await.unwrap();
}

async fn read<T>(sql: &PluginSql, f: impl FnOnce(&Db) -> Result<T, login_table::sql::SqlError>) -> T {
    call(sql, Read, f).await.unwrap()
}

/// People of three organisations; steelworks supplies acme.
async fn people_of(store: &Store) -> PluginSql {
    let sql = store.plugin().await;
    call(&sql, Write, schema::migrate).await.unwrap();
    call(&sql, Write, schema::migrate).await.unwrap(); // the next generation finds all done
    for (user, org, groups) in [
        ("alice", "acme", &["ops", "all-hands"][..]),
        ("bob", "acme", &["all-hands"]),
        ("Zoe", "acme", &[]),
        ("sam", "steelworks", &[]),
        ("mallory", "elsewhere", &[]),
    ] {
        put(&sql, account(user, org, groups)).await;
    }
    let steelworks = Partner { org: "steelworks".into(), relation: Relation::Upstream };
    call(&sql, Write, |db| accounts::put_partner(db, "acme", &steelworks)).await.unwrap();
    sql
}

async fn a13_the_directory_has_colleagues_and_partners(store: Store) {
    let sql = people_of(&store).await;
    let seen = |user: &'static str, after: Option<&'static str>, limit| {
        let sql = sql.clone();
        async move {
            let entries = read(&sql, |db| people::visible(db, user, after, limit)).await;
            entries.into_iter().map(|entry| (entry.user, entry.relation)).collect::<Vec<_>>()
        }
    };
    let of = |user: &str, relation| (user.to_owned(), relation);
    let all = [
        of("Zoe", Relation::Internal),
        of("alice", Relation::Same),
        of("bob", Relation::Internal),
        of("sam", Relation::Upstream),
    ];
    assert_eq!(seen("alice", None, 100).await, all);
    assert_eq!(seen("alice", Some("alice"), 1).await, [of("bob", Relation::Internal)]);
    assert_eq!(seen("mallory", None, 100).await, [of("mallory", Relation::Same)]);
    assert!(seen("nobody", None, 100).await.is_empty());
    let acme = seen("sam", None, 100).await;
    assert_eq!(acme[0], of("Zoe", Relation::Downstream));

    let everyone = read(&sql, |db| people::members(db, "*")).await.unwrap();
    assert_eq!(everyone, ["Zoe", "alice", "bob", "mallory", "sam"]);
    assert_eq!(read(&sql, |db| people::members(db, "all-hands")).await.unwrap(), ["alice", "bob"]);
    assert!(read(&sql, |db| people::members(db, "none")).await.is_none());
    assert_eq!(read(&sql, |db| people::partners(db, "steelworks")).await[0].relation, Relation::Downstream);
}

async fn accounts_are_made_changed_and_removed(store: Store) {
    let sql = people_of(&store).await;
    let mut bob = account("bob", "acme", &["ops"]);
    bob.locked = true;
    assert!(accounts::check(&bob).is_ok());
    call(&sql, Write, |db| accounts::put_user(db, bob, None)).await.unwrap();
    let new = call(&sql, Write, |db| accounts::put_user(db, account("new", "acme", &[]), None)).await;
    assert!(format!("{new:?}").contains("needs a password or a key"), "{new:?}");
    let listed = call(&sql, Read, |db| accounts::list_users(db, Some("alice"), 1)).await.unwrap();
    assert_eq!((listed[0].profile.user.as_str(), listed[0].locked), ("bob", true));
    assert_eq!(listed[0].profile.groups, ["ops"]);

    assert!(read(&sql, |db| people::find(db, "bob")).await.is_none(), "locked");
    assert_eq!(read(&sql, |db| people::members(db, "ops")).await.unwrap(), ["alice"]);
    let stored = read(&sql, |db| verify::stored(db, "bob")).await.unwrap();
    assert!(stored.locked && stored.password.as_deref() == Some("PHC"), "the password stayed");

    let none = Partner { org: "acme".into(), relation: Relation::Unrelated };
    call(&sql, Write, |db| accounts::put_partner(db, "steelworks", &none)).await.unwrap();
    assert!(read(&sql, |db| people::partners(db, "acme")).await.is_empty());
    for (org, partner, relation) in [
        ("acme", "acme", Relation::Upstream),
        ("a/b", "acme", Relation::Upstream),
        ("acme", "b", Relation::Same),
    ] {
        let partner = Partner { org: partner.into(), relation };
        assert!(call(&sql, Write, |db| accounts::put_partner(db, org, &partner)).await.is_err());
    }
    assert!(call(&sql, Write, |db| accounts::remove_user(db, "alice")).await.unwrap());
    assert!(!call(&sql, Write, |db| accounts::remove_user(db, "alice")).await.unwrap());
    assert!(read(&sql, |db| people::members(db, "ops")).await.unwrap().is_empty());
    for wrong in ["", "a b", "a/b", "ä", "+", &"x".repeat(65)] {
        assert!(accounts::check(&account(wrong, "acme", &[])).is_err(), "{wrong}");
        assert!(accounts::check(&account("alice", wrong, &[])).is_err(), "{wrong}");
        assert!(accounts::check(&account("alice", "acme", &[wrong])).is_err(), "{wrong}");
    }
}

/// A user of acme with this key.
fn keyed(user: &str, key: Option<&[u8; 32]>) -> Account {
    Account { key: key.map(|key| key.to_vec()), ..account(user, "acme", &[]) }
}

async fn rule_12_a_key_stays_until_it_is_changed_and_needs_no_password(store: Store) {
    let sql = people_of(&store).await;
    let stored = async |user: &'static str| read(&sql, |db| verify::stored(db, user)).await.unwrap();
    let set = async |account: Account, hash: Option<&str>| {
        let hash = hash.map(str::to_owned);
        call(&sql, Write, |db| accounts::put_user(db, account, hash)).await.unwrap();
    };
    set(keyed("car-1", Some(&[1; 32])), None).await;
    let car = stored("car-1").await;
    assert_eq!((car.password, car.key.as_deref()), (None, Some(&[1; 32][..])));
    // With a password, too; what is not given stays.
    set(keyed("car-1", Some(&[1; 32])), Some("PHC")).await;
    set(keyed("car-1", Some(&[2; 32])), None).await;
    let car = stored("car-1").await;
    assert_eq!((car.password.as_deref(), car.key.as_deref()), (Some("PHC"), Some(&[2; 32][..])));
    let listed = call(&sql, Read, |db| accounts::list_users(db, Some("bob"), 1)).await.unwrap();
    assert_eq!(listed[0].key.as_deref(), Some(&[2; 32][..]));
    set(keyed("car-1", None), None).await;
    let car = stored("car-1").await;
    assert_eq!((car.password.as_deref(), car.key), (Some("PHC"), None));
    assert_eq!(stored("alice").await.key, None);

    for length in [0, 31, 33] {
        let account = Account { key: Some(vec![1; length]), ..account("car-1", "acme", &[]) };
        assert!(accounts::check(&account).is_err(), "{length}");
    }
}

async fn rule_12_tables_of_before_get_keys_and_lose_nothing(store: Store) {
    let sql = store.plugin().await;
    call(&sql, Write, |db| schema::migrate_to(db, 1)).await.unwrap();
    let before = "INSERT INTO account (user_id, name, org, department, title, locked, password)
        VALUES ('alice', 'Alice', 'acme', '', '', 0, 'PHC')";
    call(&sql, Write, |db| db.execute(before, Vec::new())).await.unwrap();
    call(&sql, Write, schema::migrate).await.unwrap();
    let alice = read(&sql, |db| verify::stored(db, "alice")).await.unwrap();
    assert_eq!((alice.password.as_deref(), alice.key), (Some("PHC"), None));
    // The generation before still runs on them.
    call(&sql, Write, |db| db.execute(&before.replace("alice", "bob"), Vec::new())).await.unwrap();
    assert!(read(&sql, |db| verify::stored(db, "bob")).await.is_some());
}

/// What an attempt brings.
#[derive(Clone, Copy, Debug, PartialEq)]
enum By {
    Password,
    Key,
}

/// A host that counts what an attempt costs. The typed password fits the PHC string `PHC`, what was
/// signed the key of ones.
struct Costs {
    by: By,
    counters: RefCell<BTreeMap<String, u64>>,
    verified: Cell<u32>,
    wrong: bool,
    down: bool,
}

impl Costs {
    fn of(by: By) -> Self {
        Costs { by, counters: RefCell::default(), verified: Cell::default(), wrong: false, down: false }
    }
}

impl Host for Costs {
    fn count(&self, key: &str) -> Result<u64, String> {
        Ok(self.counters.borrow().get(key).copied().unwrap_or(0))
    }
    fn advance(&self, key: &str, to: u64, _: u64) -> Result<bool, String> {
        if self.down {
            return Err("kv is down".into());
        }
        let mut counters = self.counters.borrow_mut();
        let higher = counters.get(key).is_none_or(|&at| at < to);
        if higher {
            counters.insert(key.into(), to);
        }
        Ok(higher)
    }
    fn forget(&self, key: &str) -> Result<(), String> {
        self.counters.borrow_mut().remove(key);
        Ok(())
    }
    fn credential_fits(&self, stored: Option<&Stored>) -> bool {
        self.verified.set(self.verified.get() + 1);
        let fits = |stored: &Stored| match self.by {
            By::Password => stored.password.as_deref() == Some("PHC"),
            By::Key => stored.key.as_deref() == Some(&[1; 32]),
        };
        stored.is_some_and(fits) && !self.wrong
    }
}

async fn every_refused_login_looks_and_costs_the_same(store: Store) {
    let sql = people_of(&store).await;
    let [alice, bob] = [("alice", &["ops", "all-hands"][..]), ("bob", &[])]
        .map(|(user, groups)| Account { key: Some(vec![1; 32]), ..account(user, "acme", groups) });
    for account in [alice, bob, Account { locked: true, ..keyed("Zoe", Some(&[1; 32])) }] {
        put(&sql, account).await;
    }
    for by in [By::Password, By::Key] {
        refused_logins_look_the_same(&sql, by).await;
    }
    // Of both kinds, one counter.
    let mut host = Costs::of(By::Password);
    let lockout = Lockout { max_failures: 1, window_secs: 60 };
    let row = || read(&sql, |db| verify::stored(db, "alice"));
    host.wrong = true;
    assert!(verify::login(&host, Ok(lockout), "alice", 0, Ok(row().await)).is_err());
    (host.by, host.wrong) = (By::Key, false);
    let told = verify::login(&host, Ok(lockout), "alice", 0, Ok(row().await));
    assert!(matches!(told, Err(LoginError::RetryAfter(60))), "{told:?}");
}

async fn refused_logins_look_the_same(sql: &PluginSql, by: By) {
    let lockout = Lockout { max_failures: 3, window_secs: 60 };
    let now = 1_790_000_010_000; // 30 s before its window ends
    let mut host = Costs::of(by);
    let attempt = async |host: &Costs, user: &str| {
        let before = host.verified.get();
        let row = call(sql, Read, |db| verify::stored(db, user)).await.map_err(|e| format!("{e:?}"));
        let answer = verify::login(host, Ok(lockout), user, now, row);
        assert_eq!(host.verified.get() - before, 1, "exactly one verification for {user}");
        answer
    };
    let profile = attempt(&host, "alice").await.unwrap();
    assert_eq!((profile.name.as_str(), profile.groups.len()), ("ALICE", 2));
    assert!(host.counters.borrow().is_empty(), "a success gives its place back");

    host.wrong = true;
    for user in ["alice", "nobody", "Zoe"] {
        host.wrong = user == "alice";
        for _ in 0..3 {
            assert!(matches!(attempt(&host, user).await, Err(LoginError::Denied)), "{user}");
        }
        let Err(LoginError::RetryAfter(secs)) = attempt(&host, user).await else { panic!("{user} goes on") };
        assert_eq!(secs, 30);
    }
    host.wrong = false;
    assert!(matches!(attempt(&host, "alice").await, Err(LoginError::RetryAfter(_))), "the right one, too");
    assert!(attempt(&host, "bob").await.is_ok(), "others are not concerned");
    for _ in 0..5 {
        assert!(matches!(attempt(&host, "../../etc").await, Err(LoginError::Denied)));
    }
    assert!(host.counters.borrow().keys().all(|key| !key.contains("..")), "impossible names leave nothing");

    let down = Costs { down: true, ..Costs::of(by) };
    assert!(matches!(attempt(&down, "bob").await, Err(LoginError::Unavailable(_))));
    let before = host.verified.get();
    let broken = verify::login(&host, Ok(lockout), "bob", now, Err("sql is down".into()));
    assert!(matches!(broken, Err(LoginError::Unavailable(_))));
    assert_eq!(host.verified.get() - before, 1);
}
