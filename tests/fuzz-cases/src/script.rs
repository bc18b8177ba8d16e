//! Operations out of bytes: one byte says which, and each number in it takes its own.
//!
//! This is what `arbitrary`'s derive does, in fewer bytes, and without switching a feature on that the
//! WASM compiler below us would be built again for.

use arbitrary::{Arbitrary, Result, Unstructured};

/// Declares enums of variants with named fields, and structs, that can be made of bytes.
macro_rules! from_bytes {
    ($(#[$meta:meta])* $vis:vis enum $name:ident {
        $($(#[$about:meta])* $variant:ident { $($field:ident: $kind:ty),* $(,)? }),* $(,)?
    }) => {
        $(#[$meta])* $vis enum $name { $($(#[$about])* $variant { $($field: $kind),* }),* }

        impl<'a> arbitrary::Arbitrary<'a> for $name {
            fn arbitrary(u: &mut arbitrary::Unstructured<'a>) -> arbitrary::Result<Self> {
                type Maker<'a> = fn(&mut arbitrary::Unstructured<'a>) -> arbitrary::Result<$name>;
                let makers: &[Maker<'a>] =
                    &[$(|_u| Ok($name::$variant { $($field: _u.arbitrary()?),* })),*];
                makers[usize::from(u.arbitrary::<u8>()?) % makers.len()](u)
            }
        }
    };
    ($(#[$meta:meta])* $vis:vis struct $name:ident {
        $($(#[$about:meta])* $seen:vis $field:ident: $kind:ty),* $(,)?
    }) => {
        $(#[$meta])* $vis struct $name { $($(#[$about])* $seen $field: $kind),* }

        impl<'a> arbitrary::Arbitrary<'a> for $name {
            fn arbitrary(u: &mut arbitrary::Unstructured<'a>) -> arbitrary::Result<Self> {
                Ok($name { $($field: u.arbitrary()?),* })
            }
        }
    };
}

pub(crate) use from_bytes;

/// Operations until the bytes end.
#[derive(Debug)]
pub(crate) struct Ops<T>(pub(crate) Vec<T>);

impl<'a, T: Arbitrary<'a>> Arbitrary<'a> for Ops<T> {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let mut ops = Vec::new();
        while !u.is_empty() {
            ops.push(u.arbitrary()?);
        }
        Ok(Ops(ops))
    }
}

/// The script that `bytes` stand for; any bytes stand for one.
pub(crate) fn of<'a, T: Arbitrary<'a>>(bytes: &'a [u8]) -> T {
    Unstructured::new(bytes).arbitrary().expect("numbers out of any bytes")
}
