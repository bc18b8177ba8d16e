//! `postern:host/random`: random bytes from the operating system.

use ring::rand::{SecureRandom, SystemRandom};
use wasmtime::component::{HasData, Linker};

use super::bindings::postern::host::random;
use crate::state::State;

/// Bytes given at a time.
const MOST: u32 = 1_024;

pub(crate) struct RandomView;

impl HasData for RandomView {
    type Data<'a> = RandomView;
}

impl random::Host for RandomView {
    fn bytes(&mut self, count: u32) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(count.min(MOST)).unwrap_or(0)];
        if SystemRandom::new().fill(&mut bytes).is_err() {
            // Too short an answer makes the guest fail; a predictable one would not.
            bytes.clear();
        }
        bytes
    }
}

pub(crate) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    random::add_to_linker::<State, RandomView>(linker, |_| RandomView)
}

#[cfg(test)]
mod tests {
    use super::*;
    use random::Host;

    #[test]
    fn at_most_1024_bytes_and_never_the_same() {
        assert_eq!(RandomView.bytes(5_000).len(), 1_024);
        assert_ne!(RandomView.bytes(32), RandomView.bytes(32));
    }
}
