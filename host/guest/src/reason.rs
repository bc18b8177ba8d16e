//! Why a file does not serve as a plugin.

use std::path::PathBuf;

use crate::inspect::WIT_VERSION;
use crate::policy::Role;

/// Largest component file, in MiB. A Python component has about 40.
pub const MAX_COMPONENT_MIB: u64 = 64;

/// Why a file does not serve as a plugin: every reason found, in one line each.
#[derive(Debug, thiserror::Error)]
#[error("{}: {}", path.display(), lines(reasons))]
pub struct LoadError {
    /// The file.
    pub path: PathBuf,
    /// At least one.
    pub reasons: Vec<Reason>,
}

/// One reason against a candidate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// No such file.
    #[error("there is no such file")]
    Missing,
    /// The system does not let us read it.
    #[error("cannot be read: {0}")]
    Unreadable(String),
    /// Zero bytes.
    #[error("is empty")]
    Empty,
    /// Over the size limit.
    #[error("has {mib} MiB, the limit is {MAX_COMPONENT_MIB} MiB")]
    TooLarge {
        /// Its size, rounded up.
        mib: u64,
    },
    /// Something else than WebAssembly.
    #[error("is not WebAssembly")]
    NotWasm,
    /// A module without the component around it.
    #[error("is a core module, not a component: build it as a component for a world of wit/")]
    CoreModule,
    /// The end is missing.
    #[error("is cut short: copy it again")]
    CutShort,
    /// The compiler refuses it.
    #[error("does not compile: {0}")]
    Invalid(String),
    /// An import from outside our packages.
    #[error("imports `{import}`: plugins may import nothing but postern:host")]
    Foreign {
        /// The import's full name.
        import: String,
    },
    /// An import of ours that does not exist.
    #[error("imports `{import}`, which this host does not have")]
    UnknownInterface {
        /// The import's full name.
        import: String,
    },
    /// An interface of another version.
    #[error("`{interface}` is of another version: this host speaks {WIT_VERSION} and what fits it")]
    Version {
        /// The interface's full name.
        interface: String,
    },
    /// Part of a role, or of what every plugin has, is missing.
    #[error("does not export `{interface}`")]
    MissingExport {
        /// The interface without its version.
        interface: String,
    },
    /// Nothing that we could ask it.
    #[error("fills no role: it exports none of the worlds of wit/")]
    NoRole,
    /// The policy does not grant an import.
    #[error("imports `{interface}`, which the policy does not grant it")]
    NotGranted {
        /// The interface's name within `postern:host`.
        interface: String,
    },
    /// The policy grants something that does not exist.
    #[error("the policy grants it `{grant}`, which is no interface of postern:host")]
    UnknownGrant {
        /// As the policy has it.
        grant: String,
    },
    /// The policy bounds it senselessly.
    #[error("the policy's {0}")]
    Limits(String),
    /// An interface of ours in another shape.
    #[error("does not fit the interfaces of this host: {0}")]
    Shape(String),
    /// `describe` failed.
    #[error("cannot say who it is: {0}")]
    Describe(String),
    /// `describe` gave an impossible name or version.
    #[error(
        "calls itself `{0}`: a name is 1 to 48 of a-z 0-9 -, a letter or digit first, a version 1 to 64 visible characters"
    )]
    Name(String),
    /// `prepare` failed; the text is the plugin's.
    #[error("could not prepare: {0}")]
    Prepare(String),
    /// `self-check` failed; the text is the plugin's.
    #[error("found itself unfit: {0}")]
    SelfCheck(String),
    /// The policy wants a signature.
    #[error("is not signed, and the policy requires it")]
    Unsigned,
    /// Signed by a stranger.
    #[error("is signed by {0}, which is not among signatures.keys of the policy")]
    Signer(String),
    /// Altered after it was signed.
    #[error("was altered after it was signed")]
    Signature,
    /// The host could not do its part.
    #[error("host: {0}")]
    Host(String),
}

fn lines(reasons: &[Reason]) -> String {
    reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// For messages about a role of a plugin.
pub(crate) fn role_shape(role: Role, error: &wasmtime::Error) -> Reason {
    let text = format!("{error:#}").split_whitespace().collect::<Vec<_>>().join(" ");
    Reason::Shape(format!("role {role}: {text}"))
}
