//! Whoever has no key signs in nowhere: proofs, bearers and answers to challenges, right and wrong,
//! for tokens that live, expire and are revoked; any other credential; records of any bytes; rights
//! filled in with any client id; the class of any topic.
//!
//! script (what is tried) → host (keys and the durable map in memory)

mod host;
mod script;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use classify_topic::bindings::exports::postern::classify::classify as topics;
use postern_broker::topic::TopicFilter;
use token_hmac::bindings::exports::postern::token::tokens::{
    Attempt, AuthAnswer, Credential, Grant, Holder, NameAndPassword, Outcome, Selector,
};
use token_hmac::bindings::postern::host::types::{Link, Profile, Transport};
use token_hmac::host::Key;
use token_hmac::proof::{self, AUTH_METHOD, Binding};
use token_hmac::record::Record;
use token_hmac::rights::Template;
use token_hmac::settings::Settings;
use token_hmac::{tokens, verify::verify};

use host::{Fake, Memory};
use script::{Op, Script, Tried, Way};

const NAMES: [&str; 5] = ["alice", "bob", "a/b", "#", ""];
const CLIENTS: [&str; 4] = ["phone", "pc", "+", "x/y"];
const LISTENERS: [&str; 2] = ["tcp", "tls"];

struct Token {
    issued: tokens::Issued<Fake>,
    user: &'static str,
    client_id: &'static str,
    /// Which of the tokens its login gave.
    login: usize,
    revoked: bool,
    /// The greatest that was used.
    counter: u64,
}

struct World {
    host: Memory,
    settings: Settings,
    tokens: Vec<Token>,
    now: u64,
}

pub(crate) fn run(bytes: &[u8]) {
    let script: Script = crate::script::of(bytes);
    let _shown = crate::Shown(&script);
    let texts = |all: &[&str]| all.iter().map(|text| (*text).to_owned()).collect();
    let anonymous_rights = Template {
        publish: texts(&["open/{client}/{org}", "open/{client}"]),
        subscribe: texts(&["open/+", "own/{user}"]),
        deny_publish: texts(&["open/{client}/{user}"]),
        deny_subscribe: texts(&["open/{group}"]),
        messaging: false,
    };
    let (anonymous, anonymous_accepts_any) = (script.anonymous, script.accepts_any);
    let settings = Settings {
        anonymous,
        anonymous_accepts_any,
        anonymous_rights,
        tokens_per_device: 1_000,
        ..Settings::default()
    };
    let mut world = World { host: Memory::default(), settings, tokens: Vec::new(), now: 1 << 40 };
    for op in &script.ops.0 {
        world.apply(op);
    }
}

impl World {
    fn apply(&mut self, op: &Op) {
        match op {
            Op::Issue { user, client } => self.issue(*user, *client),
            Op::Try { tried } => {
                if let Some(token) = self.tokens.len().checked_sub(1) {
                    self.attempt(usize::from(tried.token) % (token + 1), tried);
                }
            }
            Op::Any { credential, client, tls } => {
                let attempt = Attempt {
                    client_id: client.clone(),
                    credential: credential.clone().into(),
                    link: link(*tls, 0),
                    now: self.now,
                };
                self.nobody(&attempt);
            }
            Op::Renew { nth } => self.renew(*nth),
            Op::Revoke { nth } => {
                let Some(at) = usize::from(*nth).checked_rem(self.tokens.len()) else { return };
                let Token { issued, login, revoked, .. } = &self.tokens[at];
                let is_good = !revoked && self.now < issued.expires_at;
                let (id, login) = (issued.token_id.clone(), *login);
                let ended = tokens::revoke(&self.host, &Selector::Token(id.clone())).unwrap();
                assert!(!is_good || ended.contains(&id), "{id} is not among {ended:?}");
                // All that came of one login ends together.
                self.tokens
                    .iter_mut()
                    .filter(|token| token.login == login)
                    .for_each(|token| token.revoked = true);
            }
            Op::Pass { secs } => self.now += u64::from(*secs) * 1000,
            Op::Record { bytes } => record(bytes),
            Op::Classify { topic, relation } => classify(topic, *relation),
        }
    }

    fn issue(&mut self, user: u8, client: u8) {
        let (user, client_id) = (NAMES[usize::from(user) % 5], CLIENTS[usize::from(client) % 4]);
        let holder = holder(user, client_id);
        let good = ["alice", "bob"].contains(&user) && ["phone", "pc"].contains(&client_id);
        let issued = tokens::issue(&self.host, &self.settings, holder, self.now);
        assert_eq!(issued.is_ok(), good);
        if let Ok(issued) = issued {
            let login = self.tokens.len();
            self.tokens.push(Token { issued, user, client_id, login, revoked: false, counter: 0 });
        }
    }

    fn renew(&mut self, nth: u8) {
        let Some(at) = usize::from(nth).checked_rem(self.tokens.len()) else { return };
        let Token { issued, user, client_id, login, revoked, .. } = &self.tokens[at];
        let (user, client_id, login) = (*user, *client_id, *login);
        let good = !revoked && self.now < issued.expires_at;
        let (id, holder) = (&issued.token_id, holder(user, client_id));
        let renewed = tokens::renew(&self.host, &self.settings, id, holder, self.now);
        assert!(good || renewed.is_err());
        if let Ok(issued) = renewed {
            let token = Token { issued, user, client_id, login, revoked: false, counter: 0 };
            self.tokens.push(token);
        }
    }

    /// A credential made with a token's key, for some link, perhaps changed on the way.
    fn attempt(&mut self, at: usize, tried: &Tried) {
        let Token { issued, client_id, revoked, counter, .. } = &self.tokens[at];
        let id = issued.token_id.as_str();
        let made_for = CLIENTS[usize::from(tried.client) % 2];
        let listener = usize::from(tried.listener % 2);
        let transport = if tried.tls { Transport::Tls } else { Transport::Plain };
        let binding = Binding { token_id: id, client_id: made_for, transport, listener: LISTENERS[listener] };
        let used = u64::from(tried.counter % 8);
        let time = self.now.saturating_add_signed(i64::from(tried.behind) * -1000);
        let key = proof::sign_in_key(&issued.key);
        let mut secret = match tried.way {
            Way::Proof {} => {
                let mac = key.hmac(&proof::proof_message(binding, used, time));
                let proof = [&[proof::VERSION][..], &used.to_be_bytes(), &time.to_be_bytes(), &mac].concat();
                URL_SAFE_NO_PAD.encode(proof).into_bytes()
            }
            Way::Bearer {} | Way::Http {} => issued.bearer.clone().into_bytes(),
            Way::Answer {} => key.hmac(&proof::answer_message(binding, &proof::challenge(&[9; 32], time))),
        };
        let changed = tried.flip != 0;
        let place = usize::from(tried.place) % secret.len();
        secret[place] ^= tried.flip;

        let fresh = (time..=time + 30_000).contains(&self.now);
        let in_window = (self.now - 60_000..=self.now + 30_000).contains(&time);
        let good = !changed && !revoked && self.now < issued.expires_at;
        let same_link = tried.link_tls == tried.tls && tried.link_listener % 2 == tried.listener % 2;
        let right = match tried.way {
            Way::Proof {} => same_link && made_for == *client_id && in_window && used > *counter,
            Way::Answer {} => same_link && made_for == *client_id && fresh,
            Way::Bearer {} => tried.link_tls && made_for == *client_id,
            Way::Http {} => tried.link_tls,
        };
        let credential = match tried.way {
            Way::Proof {} | Way::Bearer {} => {
                Credential::Password(NameAndPassword { user_name: id.into(), password: secret })
            }
            Way::Http {} => Credential::Bearer(format!("{id}:{}", String::from_utf8_lossy(&secret))),
            Way::Answer {} => Credential::AuthAnswer(AuthAnswer {
                method: AUTH_METHOD.into(),
                start: id.into(),
                challenge: proof::challenge(&[9; 32], time),
                data: secret,
            }),
        };
        let link = link(tried.link_tls, tried.link_listener);
        let attempt = Attempt { client_id: made_for.into(), credential, link, now: self.now };
        let granted = match verify(&self.host, &self.settings, &attempt) {
            Ok(Outcome::Granted(grant)) => {
                assert_eq!(grant.token_id.as_deref(), Some(id));
                assert_eq!(grant.client_id, *client_id);
                levels(&grant);
                true
            }
            Ok(Outcome::Challenge(_)) => panic!("nobody asked for a challenge"),
            Err(_) => false,
        };
        assert_eq!(granted, good && right, "{tried:?}");
        if granted && matches!(tried.way, Way::Proof {}) {
            self.tokens[at].counter = used;
        }
    }

    /// Nobody made this: it is refused, or admitted as anybody is.
    fn nobody(&self, attempt: &Attempt) {
        match verify(&self.host, &self.settings, attempt) {
            Ok(Outcome::Granted(grant)) => {
                assert!(self.settings.anonymous, "{attempt:?}");
                assert!(grant.token_id.is_none() && grant.profile.is_none(), "{attempt:?}");
                assert!(
                    matches!(attempt.credential, Credential::Anonymous)
                        || self.settings.anonymous_accepts_any
                );
                levels(&grant);
            }
            Ok(Outcome::Challenge(challenge)) => {
                assert!(
                    matches!(&attempt.credential, Credential::AuthStart(start) if start.method == AUTH_METHOD)
                );
                assert_eq!(proof::challenge_time(&challenge), Some(self.now));
            }
            Err(_) => {
                assert!(!self.settings.anonymous || !matches!(attempt.credential, Credential::Anonymous))
            }
        }
    }
}

fn link(tls: bool, listener: u8) -> Link {
    let transport = if tls { Transport::Tls } else { Transport::Plain };
    Link { transport, listener: LISTENERS[usize::from(listener % 2)].into(), address: "192.0.2.1".into() }
}

/// What is filled in is one level, whatever the client calls itself.
fn levels(grant: &Grant) {
    let lists = [&grant.rights.publish, &grant.rights.subscribe];
    for pattern in lists.iter().flat_map(|patterns| patterns.allow.iter().chain(&patterns.deny)) {
        assert!(TopicFilter::try_from(&**pattern).is_ok(), "{pattern}");
        assert!(!pattern.contains(['{', '}']) && pattern.split('/').count() <= 5, "{pattern}");
    }
    if grant.profile.is_none() {
        let wide = |pattern: &String| pattern.starts_with('+') || pattern.contains('#');
        assert!(!grant.rights.publish.allow.iter().any(|p| wide(p) || p.contains('+')), "{:?}", grant.rights);
        assert!(!grant.rights.subscribe.allow.iter().any(wide), "{:?}", grant.rights);
    }
}

fn holder(user: &str, client_id: &str) -> Holder {
    let profile = Profile {
        user: user.into(),
        name: "A".into(),
        org: "acme".into(),
        department: String::new(),
        title: String::new(),
        groups: vec!["ops".into(), "a/b".into()],
    };
    Holder { profile, partners: Vec::new(), client_id: client_id.into() }
}

/// A record that can be read is the same when it is written and read again.
fn record(bytes: &[u8]) {
    if let Some(record) = Record::decode(bytes) {
        let written = record.encode();
        assert_eq!(written.len(), bytes.len());
        assert_eq!(Record::decode(&written).map(|record| record.encode()), Some(written));
    }
}

/// No instant message goes out in another's name or to nobody.
fn classify(topic: &str, relation: u8) {
    let relation = [topics::Relation::Internal, topics::Relation::Unrelated][usize::from(relation % 2)];
    let facts = topics::Facts {
        topic: topic.to_owned(),
        payload: Vec::new(),
        qos: 1,
        retain: false,
        origin: topics::Origin::Client,
        transport: topics::Transport::Tls,
        sender: Some("alice".into()),
        relation,
        now: 0,
    };
    let verdict = classify_topic::rules::Rules::default().classify(&facts, Vec::new);
    let first = topic.split_once('/').map_or("", |(first, _)| first);
    match (first, verdict) {
        ("im", Ok(verdict)) => {
            assert_eq!((verdict.class, relation), (topics::Class::Instant, topics::Relation::Internal));
            let levels: Vec<&str> = topic.split('/').collect();
            assert!((4..=5).contains(&levels.len()) && levels[3] == "alice" && !levels.contains(&""));
        }
        ("note" | "status" | "link", Ok(_)) => panic!("{topic} is not a client's to send"),
        ("cmd", verdict) => assert_eq!(verdict.unwrap().class, topics::Class::Command),
        ("im" | "note" | "status" | "link", Err(_)) => {}
        (_, verdict) => assert_eq!(verdict.unwrap().class, topics::Class::Other),
    }
}
