//! What is tried.

use token_hmac::bindings::exports::postern::token::tokens::{
    AuthAnswer, AuthData, Credential, NameAndPassword,
};

use crate::script::{Ops, from_bytes};

from_bytes! {
    #[derive(Debug)]
    pub(super) struct Script {
        pub(super) anonymous: bool,
        pub(super) accepts_any: bool,
        pub(super) ops: Ops<Op>,
    }
}

from_bytes! {
    #[derive(Debug)]
    pub(super) enum Op {
        Issue { user: u8, client: u8 },
        Try { tried: Tried },
        Any { credential: Any, client: String, tls: bool },
        Renew { nth: u8 },
        Revoke { nth: u8 },
        Pass { secs: u16 },
        Record { bytes: Vec<u8> },
        Classify { topic: String, relation: u8 },
    }
}

from_bytes! {
    /// A credential made with a token's key.
    #[derive(Debug)]
    pub(super) struct Tried {
        pub(super) token: u8,
        pub(super) way: Way,
        pub(super) client: u8,
        pub(super) counter: u8,
        /// Seconds that its time is behind ours.
        pub(super) behind: i8,
        /// The link it is made for, and the one it is used on.
        pub(super) tls: bool,
        pub(super) listener: u8,
        pub(super) link_tls: bool,
        pub(super) link_listener: u8,
        /// What is changed of it: this byte, by these bits.
        pub(super) place: u8,
        pub(super) flip: u8,
    }
}

from_bytes! {
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(super) enum Way {
        Proof {},
        Bearer {},
        Answer {},
        Http {},
    }
}

from_bytes! {
    /// A credential of any bytes.
    #[derive(Clone, Debug)]
    pub(super) enum Any {
        Nothing {},
        Password { user_name: String, password: Vec<u8> },
        Start { ours: bool, method: String, data: Vec<u8> },
        Answer { start: Vec<u8>, challenge: Vec<u8>, data: Vec<u8> },
        Bearer { text: String },
    }
}

impl From<Any> for Credential {
    fn from(any: Any) -> Self {
        let method = token_hmac::proof::AUTH_METHOD.to_owned();
        match any {
            Any::Nothing {} => Credential::Anonymous,
            Any::Password { user_name, password } => {
                Credential::Password(NameAndPassword { user_name, password })
            }
            Any::Start { ours, method: other, data } => {
                Credential::AuthStart(AuthData { method: if ours { method } else { other }, data })
            }
            Any::Answer { start, challenge, data } => {
                Credential::AuthAnswer(AuthAnswer { method, start, challenge, data })
            }
            Any::Bearer { text } => Credential::Bearer(text),
        }
    }
}
