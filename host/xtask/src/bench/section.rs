//! A report's section.

/// A section, if it has rows.
pub(super) fn section(text: &mut String, title: &str, words: &str, head: &[&str], rows: Vec<Vec<String>>) {
    if rows.is_empty() {
        return;
    }
    text.push_str(&format!("\n## {title}\n\n"));
    if !words.is_empty() {
        text.push_str(&format!("{words}\n\n"));
    }
    text.push_str(&format!(
        "| {} |\n|---|{}\n",
        head.join(" | "),
        "---:|".repeat(head.len().saturating_sub(1))
    ));
    rows.iter().for_each(|cells| text.push_str(&format!("| {} |\n", cells.join(" | "))));
}
