//! `postern:host/password`: argon2id in the host (RFC 9106).

use std::sync::Arc;

use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use metrics::Counter;
use ring::rand::{SecureRandom, SystemRandom};
use tokio::sync::Semaphore;
use wasmtime::component::{HasData, Linker, Resource, ResourceTable};
use zeroize::Zeroizing;

use super::bindings::postern::host::password;
use crate::state::State;

/// Memory of one computation, in KiB (OWASP's first choice for argon2id: 19 MiB, 2, 1).
pub const ARGON2_MEMORY_KIB: u32 = 19_456;
/// Passes over the memory.
pub const ARGON2_PASSES: u32 = 2;
/// Lanes.
pub const ARGON2_THREADS: u32 = 1;

/// A stored hash may ask for up to this many times our own work; more could stop the host.
const MOST_WORK: u64 = 8;

/// A password as somebody typed it, wiped when its last owner drops it.
#[derive(Clone)]
pub struct Secret(Arc<Zeroizing<String>>);

impl Secret {
    /// Takes a typed password.
    pub fn new(typed: String) -> Secret {
        Secret(Arc::new(Zeroizing::new(typed)))
    }

    /// What was typed, for the one place that it is sent to.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Hashes and verifies, each computation on a thread that may block, few at once: each takes 19 MiB
/// and a core for tens of milliseconds.
pub(crate) struct Passwords {
    room: Arc<Semaphore>,
    /// What an unknown user's password is compared with: costs what ours cost, and is nobody's.
    decoy: Arc<str>,
    computations: Counter,
}

impl Passwords {
    pub(crate) fn new() -> Result<Passwords, argon2::password_hash::Error> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let (salt, hash) = (random::<16>()?, random::<32>()?);
        // Nobody knows a password that gives random bytes, so nothing has to be computed for it.
        let decoy = format!(
            "$argon2id$v=19$m={ARGON2_MEMORY_KIB},t={ARGON2_PASSES},p={ARGON2_THREADS}${}${}",
            STANDARD_NO_PAD.encode(salt),
            STANDARD_NO_PAD.encode(hash)
        );
        Ok(Passwords {
            room: Arc::new(Semaphore::new(threads)),
            decoy: decoy.into(),
            computations: metrics::counter!("postern_argon2_total"),
        })
    }

    /// One argon2 computation, whatever is stored.
    async fn verify(&self, typed: Secret, stored: Option<String>) -> wasmtime::Result<bool> {
        let decoy = self.decoy.clone();
        self.compute(move || {
            let real = stored.as_deref().filter(|phc| is_affordable(phc));
            let fits = PasswordHash::new(real.unwrap_or(&decoy)).is_ok_and(|hash| {
                argon2().is_ok_and(|argon2| argon2.verify_password(typed.0.as_bytes(), &hash).is_ok())
            });
            fits && real.is_some()
        })
        .await
    }

    async fn hash(&self, typed: Secret) -> wasmtime::Result<String> {
        self.compute(move || hash(typed.0.as_bytes()))
            .await?
            .map_err(|error| wasmtime::Error::msg(format!("argon2: {error}")))
    }

    async fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> wasmtime::Result<T> {
        // The permit goes with the work: a caller that gives up does not make room for another.
        let permit = self.room.clone().acquire_owned().await?;
        self.computations.increment(1);
        Ok(tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work()
        })
        .await?)
    }
}

fn argon2() -> Result<Argon2<'static>, argon2::password_hash::Error> {
    let params = Params::new(ARGON2_MEMORY_KIB, ARGON2_PASSES, ARGON2_THREADS, None)?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

fn hash(typed: &[u8]) -> Result<String, argon2::password_hash::Error> {
    let salt = SaltString::encode_b64(&random::<16>()?)?;
    Ok(argon2()?.hash_password(typed, &salt)?.to_string())
}

fn random<const N: usize>() -> Result<[u8; N], argon2::password_hash::Error> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| argon2::password_hash::Error::Crypto)?;
    Ok(bytes)
}

/// Whether a stored PHC string is argon2's and costs a bearable multiple of ours at most.
fn is_affordable(phc: &str) -> bool {
    let Ok(hash) = PasswordHash::new(phc) else { return false };
    let Ok(params) = Params::try_from(&hash) else { return false };
    let work = |memory: u32, passes: u32| u64::from(memory) * u64::from(passes);
    Algorithm::try_from(hash.algorithm).is_ok()
        && hash.hash.is_some()
        && work(params.m_cost(), params.t_cost()) <= MOST_WORK * work(ARGON2_MEMORY_KIB, ARGON2_PASSES)
}

pub(crate) struct PasswordView<'a> {
    passwords: &'a Passwords,
    table: &'a mut ResourceTable,
}

impl HasData for PasswordView<'static> {
    type Data<'a> = PasswordView<'a>;
}

impl password::Host for PasswordView<'_> {
    async fn verify(&mut self, typed: Resource<Secret>, stored: Option<String>) -> wasmtime::Result<bool> {
        let typed = self.table.get(&typed)?.clone();
        self.passwords.verify(typed, stored).await
    }

    async fn hash(&mut self, typed: Resource<Secret>) -> wasmtime::Result<String> {
        let typed = self.table.get(&typed)?.clone();
        self.passwords.hash(typed).await
    }
}

impl password::HostSecret for PasswordView<'_> {
    async fn length(&mut self, secret: Resource<Secret>) -> wasmtime::Result<u32> {
        Ok(u32::try_from(self.table.get(&secret)?.0.len()).unwrap_or(u32::MAX))
    }

    async fn drop(&mut self, secret: Resource<Secret>) -> wasmtime::Result<()> {
        self.table.delete(secret)?;
        Ok(())
    }
}

pub(crate) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    password::add_to_linker::<State, PasswordView<'static>>(linker, |state| PasswordView {
        passwords: &state.granted.passwords,
        table: &mut state.table,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_hash_fits_its_password_only() {
        let passwords = Passwords::new().unwrap();
        let phc = passwords.hash(Secret::new("correct horse".into())).await.unwrap();
        assert!(phc.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{phc}");
        let verify = |typed: &str, stored: Option<&str>| {
            let (typed, stored) = (Secret::new(typed.into()), stored.map(str::to_owned));
            let passwords = &passwords;
            async move { passwords.verify(typed, stored).await.unwrap() }
        };
        assert!(verify("correct horse", Some(&phc)).await);
        assert!(!verify("wrong horse", Some(&phc)).await);
        assert!(!verify("correct horse", None).await);
        assert!(is_affordable(&passwords.decoy), "{}", passwords.decoy);
        assert!(!verify("correct horse", Some("not a hash")).await);
    }

    #[test]
    fn hashes_that_could_stop_the_host_are_not_computed() {
        let hash = "$c2FsdHNhbHRzYWx0$cJ3mQuxsbcgDO7nFaSNVJ2JaJfFUhAJqXaFoDsyQxsM";
        assert!(is_affordable(&format!("$argon2id$v=19$m=19456,t=2,p=1{hash}")));
        assert!(is_affordable(&format!("$argon2id$v=19$m=65536,t=3,p=4{hash}")));
        assert!(!is_affordable(&format!("$argon2id$v=19$m=4000000,t=2,p=1{hash}")));
        assert!(!is_affordable(&format!("$argon2id$v=19$m=19456,t=4000,p=1{hash}")));
        assert!(!is_affordable("$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0"));
        assert!(!is_affordable("$scrypt$ln=15,r=8,p=1$c2FsdHNhbHRzYWx0$aGFzaGhhc2g"));
    }

    #[test]
    fn a_secret_does_not_print() {
        assert_eq!(format!("{:?}", Secret::new("hunter2".into())), "Secret(..)");
    }
}
