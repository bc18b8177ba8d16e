//! Subjects are given by our own code; checked all the same, because NATS takes `*`, `>` and blanks in
//! them for something else.

use crate::BusError;

/// Keeps our subjects apart from others' on a shared server.
const PREFIX: &str = "postern.";

/// The subject as the bus has it.
pub(crate) fn inner(subject: &str) -> Result<String, BusError> {
    check(subject)?;
    Ok(format!("{PREFIX}{subject}"))
}

pub(crate) fn check(subject: &str) -> Result<(), BusError> {
    let fits = |word: &str| {
        !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
    };
    if subject.len() <= 255 && subject.split('.').all(fits) {
        return Ok(());
    }
    Err(BusError::Refused(format!("{subject:?} is not a subject")))
}

#[cfg(test)]
mod tests {
    use super::inner;

    #[test]
    fn subjects_are_plain_words() {
        assert_eq!(inner("token.issue").as_deref(), Ok("postern.token.issue"));
        for subject in ["", ".", "a.", "a..b", "a b", "a.*", ">", "a\r\n", "é"] {
            assert!(inner(subject).is_err(), "{subject:?}");
        }
    }
}
