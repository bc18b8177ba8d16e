//! Answers for people: tables and lines. `--json` prints what the server said.

use std::io::{self, Write};

use serde::Serialize;

/// Prints a line. A closed pipe (`postern … | head`) is no failure.
pub(super) fn line(text: &str) -> anyhow::Result<()> {
    match writeln!(io::stdout(), "{text}") {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => Err(e.into()),
        _ => Ok(()),
    }
}

/// A moment, in ms since the Unix epoch, after RFC 3339 in UTC.
pub(super) fn time(at: u64) -> String {
    let at = i128::from(at) * 1_000_000;
    let Ok(at) = time::OffsetDateTime::from_unix_timestamp_nanos(at) else { return "-".to_owned() };
    let (date, (hour, minute, second, ms)) = (at.date(), at.to_hms_milli());
    let (year, month, day) = (date.year(), u8::from(date.month()), date.day());
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}

/// Prints JSON.
pub(super) fn json(value: &impl Serialize) -> anyhow::Result<()> {
    line(&serde_json::to_string_pretty(value)?)
}

/// Prints rows under a head, in columns.
pub(super) fn table<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> anyhow::Result<()> {
    let mut widths = head.map(|cell| cell.chars().count());
    let clean: Vec<[String; N]> = rows.iter().map(|row| row.each_ref().map(|cell| printable(cell))).collect();
    for row in &clean {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let print = |cells: &mut dyn Iterator<Item = &str>| {
        let padded: Vec<String> = cells.zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        line(padded.join("  ").trim_end())
    };
    print(&mut head.into_iter())?;
    for row in &clean {
        print(&mut row.iter().map(String::as_str))?;
    }
    Ok(())
}

/// Names come from clients: control characters must not reach the terminal.
pub(super) fn printable(text: &str) -> String {
    if text.is_empty() {
        return "-".to_owned();
    }
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_drive_the_terminal() {
        assert_eq!(printable("a\u{1b}[2Jb"), "a\u{fffd}[2Jb");
        assert_eq!(printable(""), "-");
    }
}
