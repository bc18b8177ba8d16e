//! How a call of a handler can end without an answer.

use wasmtime::Trap;

/// Why a role gave no usable answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError<E> {
    /// The plugin answered with its own error, which says what the caller must do.
    #[error(transparent)]
    Answer(E),
    /// No answer: the failure rule of the role applies (C6).
    #[error(transparent)]
    Down(Down),
}

impl<E> From<Down> for CallError<E> {
    fn from(down: Down) -> Self {
        CallError::Down(down)
    }
}

/// Why a handler did not answer. Details go to the log, never to a client (SECURITY.md, rule 9).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Down {
    /// No plugin serves the role.
    #[error("no plugin serves this role")]
    Absent,
    /// The plugin failed again and again; it is left alone for a while.
    #[error("the plugin is recovering from repeated failures")]
    Recovering,
    /// The plugin trapped in this call.
    #[error("the plugin trapped")]
    Trapped,
    /// The call was over its CPU time or its deadline, and was stopped.
    #[error("the plugin took too long")]
    Slow,
    /// As many calls as the policy allows are under way.
    #[error("the plugin is busy")]
    Busy,
    /// The plugin's answer does not fit the question.
    #[error("the plugin answered nonsense")]
    Nonsense,
    /// The host could not do its part, such as committing the call's transaction.
    #[error("the call failed: {0}")]
    Failed(String),
}

impl Down {
    /// The outcome label of metrics.
    pub(crate) const fn outcome(&self) -> Outcome {
        match self {
            Down::Absent => Outcome::Failed, // never counted: there is no plugin to count for
            Down::Recovering => Outcome::Recovering,
            Down::Trapped => Outcome::Trapped,
            Down::Slow => Outcome::Slow,
            Down::Busy => Outcome::Busy,
            Down::Nonsense => Outcome::Nonsense,
            Down::Failed(_) => Outcome::Failed,
        }
    }

    /// Whether this speaks against the plugin, so that its breaker should count it.
    pub(crate) const fn is_fault(&self) -> bool {
        matches!(self, Down::Trapped | Down::Slow | Down::Nonsense)
    }

    /// Reads what wasmtime says about a call that did not return.
    pub(crate) fn from_error(error: &wasmtime::Error) -> Down {
        if matches!(error.downcast_ref::<Trap>(), Some(Trap::Interrupt)) {
            Down::Slow
        } else if error.is::<wasmtime::PoolConcurrencyLimitError>() {
            Down::Busy
        } else {
            Down::Trapped
        }
    }
}

/// How a call ended, as `postern_plugin_calls_total` labels it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Ok,
    Answer,
    Trapped,
    Slow,
    Busy,
    Recovering,
    Nonsense,
    Failed,
    /// The plugin's own error, which says that it cannot do its work now.
    Unavailable,
}

impl Outcome {
    /// In the order of the variants.
    pub(crate) const NAMES: [&'static str; 9] =
        ["ok", "error", "trapped", "slow", "busy", "recovering", "nonsense", "failed", "unavailable"];

    /// As metrics label it.
    pub(crate) fn name(self) -> &'static str {
        Outcome::NAMES.get(self as usize).copied().unwrap_or_default()
    }
}

/// What a plugin answers in place of what it was asked for.
pub(crate) trait Refusal {
    /// Whether it says that it cannot do its work now, rather than that the answer is no.
    fn is_unavailable(&self) -> bool;
}

/// How a call ended that the plugin answered.
pub(crate) fn answered<T, E: Refusal>(answer: &Result<T, E>) -> Outcome {
    match answer {
        Ok(_) => Outcome::Ok,
        Err(refusal) if refusal.is_unavailable() => Outcome::Unavailable,
        Err(_) => Outcome::Answer,
    }
}
