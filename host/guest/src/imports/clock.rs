//! `postern:host/clock`: the time of day.

use std::time::{SystemTime, UNIX_EPOCH};

use wasmtime::component::{HasData, Linker};

use super::bindings::postern::host::clock;
use crate::state::State;

pub(crate) struct ClockView;

impl HasData for ClockView {
    type Data<'a> = ClockView;
}

impl clock::Host for ClockView {
    fn now(&mut self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

pub(crate) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    clock::add_to_linker::<State, ClockView>(linker, |_| ClockView)
}
