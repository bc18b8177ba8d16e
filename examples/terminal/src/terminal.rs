//! The life of a terminal: sign in, query, obey, report, and come again.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use phone::{Api, ApiError};
use ring::rand::{SecureRandom, SystemRandom};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::crash::crash_point;
use crate::credential::Credential;
use crate::event::{Event, Events};
use crate::journal::Journal;
use crate::link::{Dial, Link, NoLink};
use crate::message::Transport;
use crate::rules::{Standing, follow_bytes};
use crate::state::{Grant, State};
use crate::trust::Trust;
use crate::work::{Actor, Work};

/// A login or renewal that takes longer has failed.
const HTTP_TIME: Duration = Duration::from_secs(30);
/// The longest wait between attempts is this many times the first.
const MOST_PATIENCE: u32 = 64;
/// A link that lived for this many first waits was a good one: the next wait is short again.
const GOOD_LINK: u32 = 10;

/// What a terminal is made with.
#[derive(Clone, Debug)]
pub struct Provisioning {
    /// The login server, such as `https://127.0.0.1:8443`.
    pub server: String,
    /// Certificates to trust, PEM; no others are.
    pub ca_pem: Vec<u8>,
    /// User id: the terminal's.
    pub user: String,
    /// MQTT client id.
    pub client_id: String,
    /// A file with the password on its first line, for a terminal that has no key.
    pub password_file: Option<PathBuf>,
    /// Folder for key, state and journal; made if it is not there.
    pub state: PathBuf,
    /// Port in place of the one that the login names for the listener `tcp`.
    pub tcp_port: Option<u16>,
    /// The same for `tls`.
    pub tls_port: Option<u16>,
    /// The first wait after a failure, milliseconds; it doubles.
    pub back_off_ms: u64,
    /// Seconds.
    pub keep_alive_secs: u16,
}

/// A renewal under way.
pub(crate) type Renewal = Option<JoinHandle<Result<Grant, ApiError>>>;

/// A terminal; [`Terminal::run`] is its life.
pub struct Terminal<A> {
    provisioning: Provisioning,
    credential: Arc<Credential>,
    api: Api,
    dial: Dial,
    pub(crate) state: State,
    pub(crate) work: Work<A>,
    pub(crate) events: Events,
    renewal: Renewal,
    /// Failures in a row.
    failures: u32,
}

/// How a link ended.
pub(crate) enum Leaving {
    /// By an instruction.
    Switch(Transport),
    /// Otherwise.
    Lost,
}

impl<A: Actor> Terminal<A> {
    /// A terminal as its state folder remembers it.
    ///
    /// # Errors
    /// When state or journal cannot be read, or the provisioning holds no certificate or no credential.
    pub fn new(provisioning: Provisioning, actor: A, events: Events) -> io::Result<Self> {
        std::fs::create_dir_all(&provisioning.state)?;
        let credential = Credential::of(&provisioning.state, provisioning.password_file.as_deref())?;
        let file = |name: &str| provisioning.state.join(name);
        let state = State::load(&file("state.json"), &provisioning.user, &provisioning.client_id)?;
        let journal = Journal::open(&file("journal.jsonl"), state.now_ms())?;
        let ca = &provisioning.ca_pem;
        let api = Api::new(&provisioning.server, Some(ca)).map_err(io::Error::other)?;
        let dial = Dial {
            trust: Trust::new(ca)?,
            host: api.host().to_owned(),
            tcp_port: provisioning.tcp_port,
            tls_port: provisioning.tls_port,
            keep_alive_secs: provisioning.keep_alive_secs,
        };
        let work = Work::new(actor, journal);
        let credential = Arc::new(credential);
        Ok(Terminal { provisioning, credential, api, dial, state, work, events, renewal: None, failures: 0 })
    }

    /// Lives until the disk fails. Everything else is tried again.
    ///
    /// # Errors
    /// When state or journal cannot be written: without them, no command is executed once only.
    pub async fn run(mut self) -> io::Result<()> {
        let mut target = Transport::Plain;
        loop {
            if self.state.token().is_none()
                && let Err(why) = self.log_in().await?
            {
                self.events.tell(&Event::Failed { what: "login", why });
                self.back_off().await;
                continue;
            }
            let link = match Link::open(&self.dial, &mut self.state, target).await {
                Ok(link) => link,
                Err(NoLink::Disk(error)) => return Err(error),
                Err(NoLink::Refused(why)) => {
                    self.events.tell(&Event::Refused { transport: target, why });
                    self.state.drop_token();
                    // With a new token once more where we were sent; after that, only where we live.
                    target = if self.failures == 0 { target } else { Transport::Plain };
                    self.back_off().await;
                    continue;
                }
                Err(NoLink::Failed(why)) => {
                    self.events.tell(&Event::Failed { what: target.listener(), why });
                    target = Transport::Plain;
                    self.back_off().await;
                    continue;
                }
            };
            let signed_in = Instant::now();
            self.events.tell(&Event::SignedIn { transport: target, resumed: link.resumed });
            let leaving = self.serve(link).await?;
            self.work.forget_waiting();
            if signed_in.elapsed() > self.patience(GOOD_LINK) {
                self.failures = 0;
            }
            match leaving {
                Leaving::Switch(to) => target = to,
                Leaving::Lost => {
                    target = Transport::Plain;
                    self.back_off().await;
                }
            }
        }
    }

    /// Logs in with the provisioned credential. The inner error says why there is no token.
    async fn log_in(&mut self) -> io::Result<Result<(), String>> {
        let (api, credential) = (self.api.clone(), Arc::clone(&self.credential));
        let Provisioning { user, client_id, .. } = self.provisioning.clone();
        let login = tokio::task::spawn_blocking(move || credential.log_in(&api, &user, &client_id));
        let grant = match tokio::time::timeout(HTTP_TIME, login).await {
            Ok(Ok(Ok(grant))) => grant,
            Ok(Ok(Err(why))) => return Ok(Err(why)),
            Ok(Err(ended)) => return Ok(Err(ended.to_string())),
            Err(_) => return Ok(Err("no answer".to_owned())),
        };
        self.state.take(grant)?;
        let (user, instruction_keys) =
            (self.state.terminal().to_owned(), self.state.instruction_keys().len());
        self.events.tell(&Event::LoggedIn { user, instruction_keys });
        Ok(Ok(()))
    }

    /// Asks for a new token, beside the link.
    pub(crate) fn begin_renewal(&mut self) {
        if self.renewal.is_none()
            && let Some(token) = self.state.token().cloned()
        {
            let api = self.api.clone();
            let renew = move || api.post::<Grant>(&token, "/v1/token", &serde_json::json!({}));
            self.renewal = Some(tokio::task::spawn_blocking(renew));
        }
    }

    /// Waits for the answer to a renewal, for ever if none is under way.
    pub(crate) async fn renewed(renewal: &mut Renewal) -> Result<Grant, String> {
        let Some(handle) = renewal else { return std::future::pending().await };
        let answer = handle.await;
        *renewal = None;
        answer.map_err(|ended| ended.to_string())?.map_err(|error| error.to_string())
    }

    /// What goes on beside the link.
    pub(crate) fn beside(&mut self) -> (&mut Renewal, &mut Work<A>) {
        (&mut self.renewal, &mut self.work)
    }

    /// Puts a renewed token on disk; the link keeps the key of the one before it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn take_renewal(&mut self, answer: Result<Grant, String>) -> io::Result<()> {
        let event = match answer {
            Ok(grant) => {
                let expires_at = grant.token.expires_at;
                let instruction_keys = grant.instruction_keys.as_ref().map(Vec::len);
                self.state.take(grant)?;
                Event::TokenRenewed { expires_at, instruction_keys }
            }
            Err(why) => Event::RenewalFailed { why },
        };
        self.events.tell(&event);
        Ok(())
    }

    /// Follows an instruction, if it is good: its number is on disk then.
    ///
    /// # Errors
    /// When the number cannot be written.
    pub(crate) fn follow(&mut self, bytes: &[u8], transport: Transport) -> io::Result<Option<Transport>> {
        let standing = Standing {
            terminal: self.state.terminal(),
            transport,
            last_sequence: self.state.last_sequence(),
            busy: self.work.is_busy(),
            now_ms: self.state.now_ms(),
        };
        let (named, reason) = match follow_bytes(bytes, self.state.instruction_keys(), standing) {
            Ok(instruction) => (Some(instruction), None),
            Err((reason, named)) => (named, Some(reason)),
        };
        let (to, seq) = named.map(|named| (named.to, named.sequence)).unzip();
        let followed = reason.is_none();
        if let (true, Some(sequence)) = (followed, seq) {
            self.state.following(sequence)?;
        }
        self.events.tell(&Event::Instruction { to, seq, transport, followed, reason });
        if followed {
            crash_point("instruction.followed");
        }
        Ok(to.filter(|_| followed))
    }

    /// Of each link, seconds.
    pub(crate) fn keep_alive_secs(&self) -> u16 {
        self.provisioning.keep_alive_secs
    }

    /// This many first waits.
    pub(crate) fn patience(&self, times: u32) -> Duration {
        Duration::from_millis(self.provisioning.back_off_ms).saturating_mul(times)
    }

    /// Waits, each time twice as long, and up to half of it less, so that many terminals do not come at once.
    async fn back_off(&mut self) {
        self.failures = self.failures.saturating_add(1);
        let times = 2_u32.saturating_pow(self.failures - 1).min(MOST_PATIENCE);
        let wait = self.patience(times).mul_f64(1.0 - jitter() / 2.0);
        let ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        self.events.tell(&Event::BackOff { ms });
        tokio::time::sleep(wait).await;
    }
}

/// From 0 to 1.
fn jitter() -> f64 {
    let mut byte = [0];
    SystemRandom::new().fill(&mut byte).ok();
    f64::from(u8::from_be_bytes(byte)) / 255.0
}
