//! What is left of a body in the archive. Pure.

/// A run of digits as long as this, or longer, may be a telephone, account or card number. Spaces and hyphens
/// within a number do not end it.
const LONG_NUMBER: usize = 5;

/// The first `chars` characters of a text, with every digit of long numbers replaced by `#` and words with an `@`
/// by `[address]`. Of what is no text, nothing.
#[must_use]
pub fn redact(body: &[u8], chars: usize) -> String {
    let Ok(text) = std::str::from_utf8(body) else { return String::new() };
    // NUL is not a text to PostgreSQL; line ends would break a line of a report.
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let words: Vec<&str> = text.split(' ').map(|w| if w.contains('@') { "[address]" } else { w }).collect();
    // Cut at the end: half a number would not be known as one.
    without_numbers(&words.join(" ")).chars().take(chars).collect()
}

fn without_numbers(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(begin) = rest.find(|c: char| c.is_ascii_digit()) {
        let (before, number) = rest.split_at(begin);
        let (number, after) = number.split_at(length_of_number(number));
        let is_long = number.chars().filter(char::is_ascii_digit).count() >= LONG_NUMBER;
        out.push_str(before);
        out.extend(number.chars().map(|c| if is_long && c.is_ascii_digit() { '#' } else { c }));
        rest = after;
    }
    out + rest
}

/// Up to the last digit that belongs to it.
fn length_of_number(text: &str) -> usize {
    let mut end = 0;
    for (at, c) in text.char_indices() {
        match c {
            '0'..='9' => end = at + 1,
            ' ' | '-' if at == end => {}
            _ => break,
        }
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_numbers_and_addresses_go() {
        for (text, left) in [
            ("call 0711-123 456 now", "call ####-### ### now"),
            ("card 4111 1111 1111 1111.", "card #### #### #### ####."),
            ("hall 3, 14:30", "hall 3, 14:30"),
            ("write to a.b@example.org, please", "write to [address] please"),
            ("", ""),
            ("12345", "#####"),
            ("1  2  3  4  5", "1  2  3  4  5"),
        ] {
            assert_eq!(redact(text.as_bytes(), 100), left);
        }
    }

    #[test]
    fn texts_are_cut_after_they_are_redacted() {
        assert_eq!(redact(b"no 123456789", 6), "no ###");
        assert_eq!(redact("äöü".as_bytes(), 2), "äö");
        assert_eq!(redact(b"a\0b\nc", 9), "a b c");
        assert_eq!(redact(&[0xff], 9), "");
    }
}
