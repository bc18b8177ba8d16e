//! Texts against lists of words. Pure.

use std::collections::BTreeMap;

/// What is to be done with a text.
#[derive(Debug, PartialEq, Eq)]
pub enum Judged {
    /// Send it as it is.
    Clean,
    /// Send this in its place.
    Masked(String),
    /// Send nothing; why, for the sender.
    Refused(&'static str),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    Mask,
    Refuse,
}

/// The lists. Words are runs of letters and digits, compared without regard to case.
#[derive(Debug)]
pub struct Words {
    deeds: BTreeMap<String, Deed>,
    allow_binary: bool,
}

impl Words {
    /// Words to mask and words to refuse; a word in both lists is refused. `allow_binary`: what is no text
    /// passes unread.
    ///
    /// # Errors
    /// An entry that is not one word could never be found.
    pub fn new(mask: &[String], refuse: &[String], allow_binary: bool) -> Result<Self, String> {
        let mut deeds = BTreeMap::new();
        for (list, deed) in [(mask, Deed::Mask), (refuse, Deed::Refuse)] {
            for word in list {
                if word.is_empty() || !word.chars().all(char::is_alphanumeric) {
                    return Err(format!("`{word}` is not one word of letters and digits"));
                }
                deeds.insert(word.to_lowercase(), deed);
            }
        }
        Ok(Words { deeds, allow_binary })
    }

    /// Judges a message's body. The text that the sender is told names no word: who would send it could
    /// learn the list by trying.
    pub fn judge(&self, body: &[u8]) -> Judged {
        let Ok(text) = std::str::from_utf8(body) else {
            return if self.allow_binary {
                Judged::Clean
            } else {
                Judged::Refused("only text can be sent here")
            };
        };
        let mut masked = String::new();
        let mut written = 0;
        for (at, word) in runs(text) {
            match self.deeds.get(&word.to_lowercase()) {
                None => {}
                Some(Deed::Refuse) => return Judged::Refused("this text may not be sent"),
                Some(Deed::Mask) => {
                    masked.push_str(text.get(written..at).unwrap_or_default());
                    masked.extend(word.chars().map(|_| '*'));
                    written = at + word.len();
                }
            }
        }
        if written == 0 {
            return Judged::Clean;
        }
        masked.push_str(text.get(written..).unwrap_or_default());
        Judged::Masked(masked)
    }
}

/// The runs of letters and digits, each with where it begins.
fn runs(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let is_outside = |c: char| !c.is_alphanumeric();
    let mut rest = 0;
    std::iter::from_fn(move || {
        let begin = rest + text.get(rest..)?.find(|c| !is_outside(c))?;
        let run = text.get(begin..)?;
        let run = run.get(..run.find(is_outside).unwrap_or(run.len()))?;
        rest = begin + run.len();
        Some((begin, run))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(text: &str) -> Judged {
        let list = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        Words::new(&list(&["Falcon", "äsop"]), &list(&["password", "kill9"]), false)
            .unwrap()
            .judge(text.as_bytes())
    }

    #[test]
    fn words_are_masked_letter_for_letter() {
        let masked = |text: &str| Judged::Masked(text.to_owned());
        assert_eq!(judge("the FALCON, falcon!"), masked("the ******, ******!"));
        assert_eq!(judge("Äsop läuft"), masked("**** läuft"));
        assert_eq!(judge("falcon"), masked("******"));
    }

    #[test]
    fn only_whole_words_count() {
        for text in ["", "falcons", "passwords are bad", "nothing here", "äöü", "*** !"] {
            assert_eq!(judge(text), Judged::Clean, "{text}");
        }
    }

    #[test]
    fn a_refused_word_wins_and_is_not_named() {
        let Judged::Refused(why) = judge("falcon: my Password") else { panic!("not refused") };
        assert!(!why.to_lowercase().contains("password"), "{why}");
        assert!(matches!(judge("kill9"), Judged::Refused(_)));
    }

    #[test]
    fn what_is_no_text_is_refused_unless_allowed() {
        let words = |allow| Words::new(&[], &[], allow).unwrap().judge(&[0xff, 0xfe]);
        assert_eq!(words(true), Judged::Clean);
        assert!(matches!(words(false), Judged::Refused(_)));
    }

    #[test]
    fn an_entry_is_one_word() {
        for word in ["", "two words", "a-b"] {
            assert!(Words::new(&[word.to_owned()], &[], false).is_err(), "{word}");
        }
    }
}
