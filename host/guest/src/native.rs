//! The one place where bytes become native code that was compiled before.

use wasmtime::Engine;
use wasmtime::component::Component;

/// Compiled code that this host vouches for: it has just compiled it, or an HMAC under a key that
/// only this host has says that it once did, for an engine of the same settings.
pub(crate) struct Vouched(Vec<u8>);

impl Vouched {
    /// Wraps what [`Engine::precompile_component`] gave, or what [`crate::cache`] has authenticated.
    /// To be called from there only.
    pub(crate) fn new(artifact: Vec<u8>) -> Vouched {
        Vouched(artifact)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Loads compiled code.
pub(crate) fn load(engine: &Engine, artifact: &Vouched) -> wasmtime::Result<Component> {
    // SAFETY: `Component::deserialize` asks that the bytes are unmodified output of wasmtime's own
    // compiler. `Vouched` carries nothing else: its bytes come straight from `precompile_component`,
    // or had their MAC checked in memory after they were read, so that a change of the file, before
    // or after the check, cannot get here. wasmtime itself checks version and settings again.
    #[allow(unsafe_code)]
    unsafe {
        Component::deserialize(engine, artifact.bytes())
    }
}
