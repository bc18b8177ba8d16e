//! What is kept about a token, and how it is written into the durable map. No secret is in it:
//! keys are derived from the master key and the token id (SECURITY.md, rule 11).
//!
//! `t/{token}` the record · `c/{token}` the counter · `u/{user}/{client}/{token}` empty, for revoking

use crate::bindings::postern::host::types::{Partner, Profile, Relation};

/// The first byte of a record. Version 1 had no family.
const VERSION: u8 = 2;

/// A token.
#[derive(Clone, Debug)]
pub struct Record {
    /// Whose it is.
    pub profile: Profile,
    /// The holder's partner organisations.
    pub partners: Vec<Partner>,
    /// The one client id that it is good for.
    pub client_id: String,
    /// When the holder logged in, ms: renewals do not change it.
    pub login_at: u64,
    /// When it ends, ms.
    pub expires_at: u64,
    /// The first token of its login: renewals keep it. Empty when it is this one.
    pub family: String,
    /// It ended before its time. Kept so that the log can tell this from an unknown token.
    pub revoked: bool,
}

impl Record {
    /// Whether it is good at `now`.
    #[must_use]
    pub fn is_good(&self, now: u64) -> bool {
        !self.revoked && now < self.expires_at
    }

    /// The first token of its login.
    #[must_use]
    pub fn family_of<'a>(&'a self, token_id: &'a str) -> &'a str {
        if self.family.is_empty() { token_id } else { &self.family }
    }

    /// As bytes: version, flags, times, then texts and lists, each after its length (4 bytes BE).
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION, u8::from(self.revoked)];
        out.extend_from_slice(&self.login_at.to_be_bytes());
        out.extend_from_slice(&self.expires_at.to_be_bytes());
        let Profile { user, name, org, department, title, groups } = &self.profile;
        for text in [user, name, org, department, title, &self.client_id, &self.family] {
            put_text(&mut out, text);
        }
        put_length(&mut out, groups.len());
        for group in groups {
            put_text(&mut out, group);
        }
        put_length(&mut out, self.partners.len());
        for partner in &self.partners {
            put_text(&mut out, &partner.org);
            out.push(relation_byte(partner.relation));
        }
        out
    }

    /// Reads [`Record::encode`]'s bytes; none when they are not such.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Record> {
        let mut input = Input(bytes);
        let version = input.byte()?;
        if !(1..=VERSION).contains(&version) {
            return None;
        }
        let revoked = input.byte()? != 0;
        let login_at = input.number()?;
        let expires_at = input.number()?;
        let (user, name, org) = (input.text()?, input.text()?, input.text()?);
        let (department, title, client_id) = (input.text()?, input.text()?, input.text()?);
        let family = if version == 1 { String::new() } else { input.text()? };
        let groups = (0..input.length()?).map(|_| input.text()).collect::<Option<_>>()?;
        let partner = |input: &mut Input<'_>| {
            Some(Partner { org: input.text()?, relation: relation_of(input.byte()?)? })
        };
        let partners = (0..input.length()?).map(|_| partner(&mut input)).collect::<Option<_>>()?;
        let profile = Profile { user, name, org, department, title, groups };
        let record = Record { profile, partners, client_id, login_at, expires_at, family, revoked };
        input.0.is_empty().then_some(record)
    }
}

fn put_length(out: &mut Vec<u8>, length: usize) {
    out.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put_length(out, text.len());
    out.extend_from_slice(text.as_bytes());
}

fn relation_byte(relation: Relation) -> u8 {
    match relation {
        Relation::Same => 0,
        Relation::Internal => 1,
        Relation::Upstream => 2,
        Relation::Downstream => 3,
        Relation::Member => 4,
        Relation::Unrelated => 5,
    }
}

fn relation_of(byte: u8) -> Option<Relation> {
    use Relation::{Downstream, Internal, Member, Same, Unrelated, Upstream};
    [Same, Internal, Upstream, Downstream, Member, Unrelated].into_iter().find(|&r| relation_byte(r) == byte)
}

/// The rest of a record's bytes.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*head)
    }
    fn byte(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }
    fn number(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }
    fn length(&mut self) -> Option<usize> {
        usize::try_from(u32::from_be_bytes(self.array()?)).ok()
    }
    fn text(&mut self) -> Option<String> {
        let length = self.length()?;
        let (head, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        String::from_utf8(head.to_vec()).ok()
    }
}

/// Key of a token's record.
#[must_use]
pub fn record_key(token_id: &str) -> String {
    format!("t/{token_id}")
}

/// Key of a token's counter.
#[must_use]
pub fn counter_key(token_id: &str) -> String {
    format!("c/{token_id}")
}

/// Prefix of a user's tokens. No user id has a slash, so none is the beginning of another's.
#[must_use]
pub fn user_prefix(user: &str) -> String {
    format!("u/{user}/")
}

/// Prefix of the tokens of one of a user's devices; a client id has no slash either.
#[must_use]
pub fn device_prefix(user: &str, client_id: &str) -> String {
    format!("u/{user}/{client_id}/")
}
