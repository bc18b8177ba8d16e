//! The shared types as bindings that borrow expect to find them, for a role whose calls must not copy.

/// Stands where generated code would: it wants to re-export a public module.
#[allow(missing_docs, unreachable_pub, dead_code)]
pub mod types {
    use wasmtime::component::{HasData, Linker};

    pub use crate::roles::types::{Relation, Transport};

    pub type UserId<'a> = &'a str;
    pub type TimestampMs = u64;

    // What the generated world needs of an interface that it imports. It has no functions, and our
    // linkers are made elsewhere.
    pub trait Host {}
    pub trait HostWithStore<T>: HasData {}
    pub fn add_to_linker<T, D>(_: &mut Linker<T>, _: fn(&mut T) -> D::Data<'_>) -> wasmtime::Result<()>
    where
        D: HostWithStore<T>,
        T: 'static,
    {
        Ok(())
    }
}
