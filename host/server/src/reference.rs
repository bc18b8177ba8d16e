//! Pages for operators that are made of the types: the keys of config and policy by section, as `cargo xtask docs`
//! writes them to docs/operate.

use std::fmt::Write;

use serde_json::{Map, Value};

/// A table of a file, such as `[limits]`.
pub struct Section {
    /// Dotted; empty for the top.
    pub name: String,
    /// What its type says of it.
    pub meaning: String,
    /// Its keys, by name.
    pub keys: Vec<Key>,
}

/// A key of a file.
pub struct Key {
    /// Dotted.
    pub path: String,
    /// `text`, `integer`, `number`, `boolean`, `list` or `table`.
    pub kind: String,
    /// As the file has it, or in words.
    pub default: String,
    /// What its type says of it, in one line.
    pub meaning: String,
    /// `true`, or `url` where only a password in it is one.
    pub secret: Option<Value>,
    least: u64,
}

/// The sections of a schema; the top comes first.
pub fn sections(schema: &Value) -> Vec<Section> {
    let mut found = Vec::new();
    read(schema, "", &mut found);
    found
}

fn read(schema: &Value, name: &str, found: &mut Vec<Section>) {
    let at = found.len();
    found.push(Section { name: name.to_owned(), meaning: meaning(schema), keys: Vec::new() });
    let none = Map::new();
    let properties = schema["properties"].as_object().unwrap_or(&none);
    let below = |key: &str| if name.is_empty() { key.to_owned() } else { format!("{name}.{key}") };
    for (key, value) in properties {
        // A table whose names are the operator's, such as `[plugins.NAME]`.
        let of_any = &value["additionalProperties"];
        if value["properties"].is_object() {
            read(value, &below(key), found);
        } else if of_any["properties"].is_object() {
            read(of_any, &format!("{}.NAME", below(key)), found);
        } else if of_any["type"].is_string() {
            let described = Key { kind: kind(of_any), ..described(value, &format!("{}.ROLE", below(key))) };
            found.push(Section { name: below(key), meaning: String::new(), keys: vec![described] });
        } else if let Some(section) = found.get_mut(at) {
            section.keys.push(described(value, &below(key)));
        }
    }
    found.retain(|section| section.name.is_empty() || section.name != name || !section.keys.is_empty());
}

fn described(schema: &Value, path: &str) -> Key {
    let default = match (&schema["x-default"], &schema["default"]) {
        (Value::String(words), _) => words.clone(),
        (_, Value::Null) => String::new(),
        (_, value) => format!("`{}`", toml_of(value)),
    };
    Key {
        path: path.to_owned(),
        kind: kind(schema),
        default,
        meaning: meaning(schema),
        secret: schema.get("x-secret").cloned(),
        least: schema["minimum"].as_u64().unwrap_or(0),
    }
}

/// Numbers in groups of three, as TOML takes them, too.
fn toml_of(value: &Value) -> String {
    let Some(number) = value.as_u64() else { return value.to_string() };
    let digits = number.to_string();
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push('_');
        }
        grouped.push(digit);
    }
    grouped
}

fn kind(schema: &Value) -> String {
    let of = match &schema["type"] {
        // What may be left out is `[type, "null"]`.
        Value::Array(types) => types.first().and_then(Value::as_str),
        one => one.as_str(),
    };
    match of {
        Some("string") => "text",
        Some("array") => "list",
        Some("object") => "table",
        Some(other) => other,
        None => "text",
    }
    .to_owned()
}

fn meaning(schema: &Value) -> String {
    let text = schema["description"].as_str().unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The unit, which is part of a key's name.
fn unit(key: &Key) -> &'static str {
    let last = key.path.rsplit('.').next().unwrap_or_default();
    let units = [
        ("bytes_per_sec", "bytes a second"),
        ("_per_minute", "a minute"),
        ("_per_hour", "an hour"),
        ("_per_second", "a second"),
        ("_per_sec", "a second"),
        ("_secs", "seconds"),
        ("_ms", "milliseconds"),
        ("_mib", "MiB"),
        ("_bytes", "bytes"),
        ("_percent", "percent"),
    ];
    units.iter().find(|(end, _)| last.ends_with(end)).map_or("", |(_, unit)| unit)
}

/// A page: its head, and a table for each section. `variable` names a key's environment variable, if it has one.
pub fn page<'a>(
    head: &str,
    sections: impl Iterator<Item = &'a Section>,
    variable: impl Fn(&Key) -> Option<String>,
) -> String {
    let mut page = head.to_owned();
    let _ =
        writeln!(page, "\n<!-- Made by `cargo xtask docs` of the types in the source: change it there. -->");
    for section in sections {
        let title =
            if section.name.is_empty() { "Top level".to_owned() } else { format!("`[{}]`", section.name) };
        let _ = writeln!(page, "\n## {title}\n");
        if !section.meaning.is_empty() && !section.name.is_empty() {
            let _ = writeln!(page, "{}\n", section.meaning);
        }
        page.push_str("| key | type, unit | default | meaning |\n|---|---|---|---|\n");
        for key in &section.keys {
            let last = key.path.strip_prefix(&format!("{}.", section.name)).unwrap_or(&key.path);
            let mut kind = key.kind.clone();
            if !unit(key).is_empty() {
                kind = format!("{kind}, {}", unit(key));
            }
            if key.least > 0 {
                kind = format!("{kind}, at least {}", toml_of(&key.least.into()));
            }
            let variable = variable(key).map(|name| format!("<br>`{name}`")).unwrap_or_default();
            let meaning = key.meaning.replace('|', "\\|");
            let _ = writeln!(page, "| `{last}` | {kind} | {} | {meaning}{variable} |", key.default);
        }
    }
    page
}

#[cfg(test)]
pub mod tests {
    use std::path::Path;

    /// Holds a page against the one in docs/operate.
    pub fn is_committed(name: &str, page: &str) {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/operate").join(name);
        let committed = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(committed == page, "docs/operate/{name} is not what the types say: run `cargo xtask docs`");
    }
}
