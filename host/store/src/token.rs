//! Cuts an SQL statement into the tokens the guard looks at. Pure.
//!
//! What the two dialects would read differently, and what can hide a name from the guard, is refused
//! rather than interpreted: nested comments, dollar quotes, `U&` escapes, stray characters.

use crate::value::Dialect;

/// A token; the texts are slices of the statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Token<'a> {
    /// A keyword or an unquoted name.
    Word(&'a str),
    /// A quoted name, with its doubled quotes as written.
    Quoted(&'a str),
    /// A string or blob literal.
    Literal,
    /// A number.
    Number,
    /// `$n`.
    Param(u32),
    /// The word `:rows`: where it starts in the statement.
    Rows(usize),
    /// `;`: where it stands in the statement.
    End(usize),
    /// Any other character.
    Symbol(char),
}

/// The tokens of `sql`.
///
/// # Errors
/// Why the text cannot be accepted, in a few words.
pub(crate) fn tokens(sql: &str, dialect: Dialect) -> Result<Vec<Token<'_>>, String> {
    let mut cut = Cut { sql, at: 0, dialect };
    let mut out = Vec::new();
    while let Some(token) = cut.next()? {
        out.push(token);
    }
    Ok(out)
}

struct Cut<'a> {
    sql: &'a str,
    at: usize,
    dialect: Dialect,
}

impl<'a> Cut<'a> {
    fn rest(&self) -> &'a str {
        self.sql.get(self.at..).unwrap_or_default()
    }

    /// Moves on by `len` bytes and gives them.
    fn take(&mut self, len: usize) -> &'a str {
        let text = self.rest().get(..len).unwrap_or_default();
        self.at += len;
        text
    }

    fn next(&mut self) -> Result<Option<Token<'a>>, String> {
        self.skip_blank()?;
        let rest = self.rest();
        let Some(first) = rest.chars().next() else { return Ok(None) };
        let second = rest.chars().nth(1).unwrap_or(' ');
        let token = match first {
            '\'' => self.literal(false)?,
            '"' => Token::Quoted(self.quoted('"', '"')?),
            '`' if self.dialect == Dialect::Sqlite => Token::Quoted(self.quoted('`', '`')?),
            '[' if self.dialect == Dialect::Sqlite => Token::Quoted(self.quoted('[', ']')?),
            '0'..='9' => {
                self.take(run(rest, |c| c.is_ascii_alphanumeric() || c == '.' || c == '_'));
                Token::Number
            }
            '$' if second.is_ascii_digit() => {
                self.take(1);
                let digits = self.take(run(self.rest(), |c| c.is_ascii_digit()));
                if self.rest().chars().next().is_some_and(is_word) {
                    return Err(format!("${digits} is not followed by a blank or a sign"));
                }
                Token::Param(digits.parse().map_err(|_| format!("${digits} is too great"))?)
            }
            '$' => return Err("dollar quotes and named parameters are not allowed".into()),
            ':' if is_word(second) => {
                let start = self.at;
                self.take(1);
                let word = self.take(run(self.rest(), is_word));
                if word != "rows" {
                    return Err(format!(":{word} is not allowed, parameters are $1, $2, …"));
                }
                Token::Rows(start)
            }
            ':' if second == ':' => {
                self.take(2);
                Token::Symbol(':')
            }
            '?' | '@' | '#' if self.dialect == Dialect::Sqlite => {
                return Err(format!("{first} is not allowed, parameters are $1, $2, …"));
            }
            ';' => {
                self.take(1);
                Token::End(self.at - 1)
            }
            c if is_word(c) => self.word(rest)?,
            c if c.is_ascii_graphic() && c != '\\' && c != '`' => {
                self.take(1);
                Token::Symbol(c)
            }
            c => return Err(format!("character {c:?} is not allowed")),
        };
        Ok(Some(token))
    }

    fn word(&mut self, rest: &'a str) -> Result<Token<'a>, String> {
        let word = self.take(run(rest, |c| is_word(c) || c == '$'));
        let next = self.rest().chars().next();
        if word.eq_ignore_ascii_case("u") && next == Some('&') {
            return Err("U& escapes are not allowed".into());
        }
        if next == Some('\'') && self.dialect == Dialect::Postgres && word.eq_ignore_ascii_case("e") {
            return self.literal(true);
        }
        // Of b'…', n'…', x'…' the word is given by itself; nothing depends on it.
        Ok(Token::Word(word))
    }

    fn skip_blank(&mut self) -> Result<(), String> {
        loop {
            let rest = self.rest();
            if rest.starts_with("--") {
                self.take(run(rest, |c| c != '\n' && c != '\r'));
            } else if let Some(inside) = rest.strip_prefix("/*") {
                let end = inside.find("*/").ok_or("a comment has no end")?;
                if inside.get(..end).is_some_and(|text| text.contains("/*")) {
                    return Err("nested comments are not allowed".into());
                }
                self.take(end + 4);
            } else {
                let blanks = run(rest, |c| matches!(c, ' ' | '\t' | '\n' | '\r'));
                if blanks == 0 {
                    return Ok(());
                }
                self.take(blanks);
            }
        }
    }

    /// A string in single quotes; `escapes` where a backslash hides the next character (E'…').
    fn literal(&mut self, escapes: bool) -> Result<Token<'a>, String> {
        self.take(1);
        let mut chars = self.rest().char_indices().peekable();
        while let Some((at, c)) = chars.next() {
            match c {
                '\\' if escapes => {
                    chars.next();
                }
                '\'' if chars.peek().is_some_and(|(_, next)| *next == '\'') => {
                    chars.next();
                }
                '\'' => {
                    self.take(at + 1);
                    return Ok(Token::Literal);
                }
                '\0' => return Err("a NUL character is not allowed".into()),
                _ => {}
            }
        }
        Err("a string has no end".into())
    }

    /// A quoted name between `open` and `close`, which is doubled to stand for itself.
    fn quoted(&mut self, open: char, close: char) -> Result<&'a str, String> {
        self.take(1);
        let rest = self.rest();
        let mut chars = rest.char_indices().peekable();
        while let Some((at, c)) = chars.next() {
            if c == '\0' {
                return Err("a NUL character is not allowed".into());
            }
            if c != close {
                continue;
            }
            if open == close && chars.peek().is_some_and(|(_, next)| *next == close) {
                chars.next();
                continue;
            }
            self.take(at + 1);
            return Ok(rest.get(..at).unwrap_or_default());
        }
        Err("a quoted name has no end".into())
    }
}

/// Both databases take every character beyond ASCII as part of a name.
fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || !c.is_ascii()
}

/// Bytes of the longest beginning whose characters all fit.
fn run(text: &str, fits: impl Fn(char) -> bool) -> usize {
    text.find(|c| !fits(c)).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::{Token::*, *};

    fn sqlite(sql: &str) -> Vec<Token<'_>> {
        tokens(sql, Dialect::Sqlite).unwrap()
    }

    #[test]
    fn words_names_literals_and_parameters() {
        assert_eq!(
            sqlite("SELECT a.\"b\"\"c\", 'it''s; --' FROM [t x] WHERE n = $12;"),
            [
                Word("SELECT"),
                Word("a"),
                Symbol('.'),
                Quoted("b\"\"c"),
                Symbol(','),
                Literal,
                Word("FROM"),
                Quoted("t x"),
                Word("WHERE"),
                Word("n"),
                Symbol('='),
                Param(12),
                End(53)
            ]
        );
    }

    #[test]
    fn comments_are_blank() {
        assert_eq!(sqlite("a -- b ' ; \n/* c ' */d"), [Word("a"), Word("d")]);
        assert!(tokens("a /* b /* c */ d", Dialect::Sqlite).is_err());
        assert!(tokens("a /* b", Dialect::Postgres).is_err());
    }

    #[test]
    fn rows_and_casts() {
        assert_eq!(sqlite("VALUES :rows"), [Word("VALUES"), Rows(7)]);
        assert_eq!(tokens("$1::bigint", Dialect::Postgres).unwrap(), [Param(1), Symbol(':'), Word("bigint")]);
        assert!(tokens(":row", Dialect::Sqlite).is_err());
    }

    #[test]
    fn a_backslash_escapes_only_in_postgres_e_strings() {
        assert_eq!(tokens(r"E'a\'; b' c", Dialect::Postgres).unwrap(), [Literal, Word("c")]);
        assert_eq!(tokens(r"'a\' c", Dialect::Postgres).unwrap(), [Literal, Word("c")]);
        assert_eq!(sqlite(r"E'a\' c"), [Word("E"), Literal, Word("c")]);
    }

    #[test]
    fn what_could_hide_something_is_refused() {
        for sql in
            ["$$a$$", "$x$a$x$", "U&'\\0061'", "u&\"a\"", "a\0b", "'a", "\"a", "a \\ b", "$1a", "x\u{c}y"]
        {
            assert!(tokens(sql, Dialect::Postgres).is_err(), "{sql}");
        }
        for sql in ["?", "?1", "@a", ":a", "#1", "[a", "`a"] {
            assert!(tokens(sql, Dialect::Sqlite).is_err(), "{sql}");
        }
    }
}
