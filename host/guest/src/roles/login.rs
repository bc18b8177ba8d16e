//! The role *login*: who may log in, the directories, the accounts (`postern:login`).

use postern_store::Access;
use serde::{Deserialize, Serialize};
use wasmtime::Store;
use wasmtime::component::{ComponentType, Instance, Lift, Lower, Resource};

use super::types::{Partner, Profile, Relation};
use crate::call::{CallError, Down, Refusal};
use crate::canary::Who;
use crate::imports::password::Secret;
use crate::imports::proof::Signed;
use crate::invoke::Call;
use crate::policy::Role;
use crate::pool::{Asked, Face, interface_func};
use crate::serving::Slot;
use crate::state::State;

/// Who wants to log in.
#[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lower)]
#[component(record)]
pub struct Attempt {
    /// The user id as typed.
    pub user: String,
    /// The device.
    #[component(name = "client-id")]
    pub client_id: String,
    /// The peer's IP address.
    pub address: String,
    /// In ms since the Unix epoch.
    pub now: u64,
}

/// Why somebody may not log in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, ComponentType, Lift)]
#[component(variant)]
pub enum LoginError {
    /// Wrong password or key, unknown or locked user: refuse. From outside they look the same.
    #[component(name = "denied")]
    #[error("denied")]
    Denied,
    /// A backend is down: refuse as temporary.
    #[component(name = "unavailable")]
    #[error("unavailable: {0}")]
    Unavailable(String),
    /// Too many attempts: come again in this many seconds.
    #[component(name = "retry-after")]
    #[error("too many attempts, again in {0} s")]
    RetryAfter(u32),
}

impl Refusal for LoginError {
    fn is_unavailable(&self) -> bool {
        matches!(self, LoginError::Unavailable(_))
    }
}

/// Why a directory gave nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, ComponentType, Lift)]
#[component(variant)]
pub enum DirectoryError {
    /// It cannot be had now.
    #[component(name = "unavailable")]
    #[error("unavailable: {0}")]
    Unavailable(String),
}

impl Refusal for DirectoryError {
    fn is_unavailable(&self) -> bool {
        matches!(self, DirectoryError::Unavailable(_))
    }
}

/// One person as another may see them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ComponentType, Lift)]
#[component(record)]
pub struct Entry {
    /// The user id.
    pub user: String,
    /// The name that people read.
    pub name: String,
    /// The organisation.
    pub org: String,
    /// Empty when unknown.
    pub department: String,
    /// Empty when unknown.
    pub title: String,
    /// What this person is to the one who looks.
    pub relation: Relation,
}

/// Why an operator's change of the accounts was not made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, ComponentType, Lift)]
#[component(variant)]
pub enum AccountsError {
    /// The accounts are kept elsewhere; the text says where.
    #[component(name = "unsupported")]
    #[error("the accounts are kept elsewhere: {0}")]
    Unsupported(String),
    /// What is wrong with the input.
    #[component(name = "invalid")]
    #[error("{0}")]
    Invalid(String),
    /// The accounts cannot be had now.
    #[component(name = "unavailable")]
    #[error("unavailable: {0}")]
    Unavailable(String),
}

impl Refusal for AccountsError {
    fn is_unavailable(&self) -> bool {
        matches!(self, AccountsError::Unavailable(_))
    }
}

/// A user as the operator sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ComponentType, Lift, Lower)]
#[component(record)]
pub struct Account {
    /// Personal information, groups included.
    pub profile: Profile,
    /// Whether logins are refused.
    pub locked: bool,
    /// The public key that the user may log in by: Ed25519, 32 bytes.
    pub key: Option<Vec<u8>>,
}

/// The functions in one instance.
pub(crate) struct Funcs {
    login: Asked<(Attempt, Resource<Secret>), Profile, LoginError>,
    login_by_key: Asked<(Attempt, Resource<Signed>), Profile, LoginError>,
    find: Asked<(String,), Option<Profile>, DirectoryError>,
    partners: Asked<(String,), Vec<Partner>, DirectoryError>,
    members: Asked<(String,), Option<Vec<String>>, DirectoryError>,
    visible: Asked<(String, Option<String>, u32), Vec<Entry>, DirectoryError>,
    put_user: Asked<(Account, Option<Resource<Secret>>), (), AccountsError>,
    remove_user: Asked<(String,), bool, AccountsError>,
    list_users: Asked<(Option<String>, u32), Vec<Account>, AccountsError>,
    put_partner: Asked<(String, Partner), (), AccountsError>,
}

impl Face for Funcs {
    const ROLE: Role = Role::Login;

    fn bind(store: &mut Store<State>, instance: &Instance) -> wasmtime::Result<Self> {
        const VERIFY: &str = "postern:login/verify";
        const DIRECTORY: &str = "postern:login/directory";
        const ACCOUNTS: &str = "postern:login/accounts";
        Ok(Funcs {
            login: interface_func(store, instance, VERIFY, "login")?,
            login_by_key: interface_func(store, instance, VERIFY, "login-by-key")?,
            find: interface_func(store, instance, DIRECTORY, "find")?,
            partners: interface_func(store, instance, DIRECTORY, "partners")?,
            members: interface_func(store, instance, DIRECTORY, "members")?,
            visible: interface_func(store, instance, DIRECTORY, "visible")?,
            put_user: interface_func(store, instance, ACCOUNTS, "put-user")?,
            remove_user: interface_func(store, instance, ACCOUNTS, "remove-user")?,
            list_users: interface_func(store, instance, ACCOUNTS, "list-users")?,
            put_partner: interface_func(store, instance, ACCOUNTS, "put-partner")?,
        })
    }
}

/// The role *login*.
#[derive(Default)]
pub struct Login {
    pub(crate) slot: Slot<Funcs>,
}

impl Login {
    /// Verifies a login and gives the personal information that the client is sent (A6).
    ///
    /// # Errors
    ///
    /// [`LoginError`] from the plugin; [`Down`] when it gave no answer: refuse then.
    pub async fn login(&self, attempt: Attempt, password: &Secret) -> Result<Profile, CallError<LoginError>> {
        let who = Who { user: Some(&attempt.user), client: Some(&attempt.client_id) };
        let mut call = self.slot.begin("login.login", who).await?;
        let secret = lend(&mut call, password)?;
        let borrowed = Resource::new_borrow(secret.rep());
        // Reads only: argon2 runs within it, and SQLite has one writer at a time.
        let answer = call.invoke(Access::Read, |funcs| &funcs.login, (attempt, borrowed)).await?;
        take_back(&mut call, secret)?;
        answer.map_err(CallError::Answer)
    }

    /// The same for who proves to hold a private key.
    ///
    /// # Errors
    ///
    /// As [`Login::login`].
    pub async fn login_by_key(
        &self,
        attempt: Attempt,
        proof: &Signed,
    ) -> Result<Profile, CallError<LoginError>> {
        let who = Who { user: Some(&attempt.user), client: Some(&attempt.client_id) };
        let mut call = self.slot.begin("login.login-by-key", who).await?;
        let signed = lend(&mut call, proof)?;
        let borrowed = Resource::new_borrow(signed.rep());
        let answer = call.invoke(Access::Read, |funcs| &funcs.login_by_key, (attempt, borrowed)).await?;
        take_back(&mut call, signed)?;
        answer.map_err(CallError::Answer)
    }

    /// The profile of a user who exists and is not locked.
    ///
    /// # Errors
    ///
    /// When the directory gave no answer.
    pub async fn find(&self, user: &str) -> Result<Option<Profile>, CallError<DirectoryError>> {
        self.slot.read("login.find", |funcs| &funcs.find, (user.to_owned(),)).await
    }

    /// The partner organisations of an organisation.
    ///
    /// # Errors
    ///
    /// When the directory gave no answer.
    pub async fn partners(&self, org: &str) -> Result<Vec<Partner>, CallError<DirectoryError>> {
        self.slot.read("login.partners", |funcs| &funcs.partners, (org.to_owned(),)).await
    }

    /// The members of a group, sorted byte by byte, each once; `*` is everyone. None when there is no
    /// such group.
    ///
    /// # Errors
    ///
    /// When the directory gave no answer, or one in another order.
    pub async fn members(&self, group: &str) -> Result<Option<Vec<String>>, CallError<DirectoryError>> {
        let fits = |members: &Option<Vec<String>>| members.as_deref().is_none_or(is_rising);
        self.slot
            .checked("login.members", Access::Read, |funcs| &funcs.members, (group.to_owned(),), fits)
            .await
    }

    /// Up to `limit` people whom `user` may see, sorted by user id byte by byte, after `after`.
    ///
    /// # Errors
    ///
    /// When the directory gave no answer.
    pub async fn visible(
        &self,
        user: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Entry>, CallError<DirectoryError>> {
        self.slot
            .read("login.visible", |funcs| &funcs.visible, (user.to_owned(), after.map(str::to_owned), limit))
            .await
    }

    /// Makes or changes a user. Without a password the old one stays; a new user needs one or a key.
    ///
    /// # Errors
    ///
    /// [`AccountsError`] from the plugin, or no answer.
    pub async fn put_user(
        &self,
        account: Account,
        password: Option<&Secret>,
    ) -> Result<(), CallError<AccountsError>> {
        let mut call = self.slot.begin("login.put-user", Who::HOST).await?;
        let secret = password.map(|password| lend(&mut call, password)).transpose()?;
        let borrowed = secret.as_ref().map(|secret| Resource::new_borrow(secret.rep()));
        let answer = call.invoke(Access::Write, |funcs| &funcs.put_user, (account, borrowed)).await?;
        if let Some(secret) = secret {
            take_back(&mut call, secret)?;
        }
        answer.map_err(CallError::Answer)
    }

    /// Removes a user, and tells whether there was one.
    ///
    /// # Errors
    ///
    /// [`AccountsError`] from the plugin, or no answer.
    pub async fn remove_user(&self, user: &str) -> Result<bool, CallError<AccountsError>> {
        self.slot.write("login.remove-user", |funcs| &funcs.remove_user, (user.to_owned(),)).await
    }

    /// Up to `limit` accounts, sorted, after `after`.
    ///
    /// # Errors
    ///
    /// [`AccountsError`] from the plugin, or no answer.
    pub async fn list_users(
        &self,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Account>, CallError<AccountsError>> {
        self.slot.read("login.list-users", |funcs| &funcs.list_users, (after.map(str::to_owned), limit)).await
    }

    /// Makes `partner.org` a partner of `org`, or (with [`Relation::Unrelated`]) no longer one.
    ///
    /// # Errors
    ///
    /// [`AccountsError`] from the plugin, or no answer.
    pub async fn put_partner(&self, org: &str, partner: Partner) -> Result<(), CallError<AccountsError>> {
        self.slot.write("login.put-partner", |funcs| &funcs.put_partner, (org.to_owned(), partner)).await
    }
}

/// Sorted, each once: members are looked up by halving.
fn is_rising(members: &[String]) -> bool {
    members.is_sorted_by(|a, b| a < b)
}

/// Puts a credential among the instance's handles, for one call.
fn lend<T: Clone + Send + 'static>(call: &mut Call<Funcs>, credential: &T) -> Result<Resource<T>, Down> {
    call.table()?.push(credential.clone()).map_err(|error| Down::Failed(error.to_string()))
}

/// Takes it out again. The guest had it borrowed, so it cannot be gone.
fn take_back<T: Send + 'static>(call: &mut Call<Funcs>, lent: Resource<T>) -> Result<(), Down> {
    call.table()?.delete(lent).map(drop).map_err(|error| Down::Failed(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::is_rising;

    #[test]
    fn members_rise_byte_by_byte() {
        let rises = |members: &[&str]| is_rising(&members.iter().map(|&m| m.to_owned()).collect::<Vec<_>>());
        assert!(rises(&[]) && rises(&["Zoe", "alice", "bob"]));
        assert!(!rises(&["alice", "Zoe"]) && !rises(&["a", "a"]));
    }
}
