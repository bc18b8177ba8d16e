//! Values of WIT as JSON, by their type: how cases are written and answers read.
//!
//! ```text
//! record {"a-field": 1}     variant, enum "case" or {"case": payload}     option null or the value
//! result {"ok": …} or {"err": …}     tuple [1, 2]     flags ["a"]     list<u8> "text" or {"base64": "…"}
//! ```
//!
//! In what is written, `_` may stand for `-` in names, and fields that are left out are empty: zero, no text,
//! no elements, none, or the first case.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value as Json, json};
use wasmtime::component::{Type, Val};

/// A value of `ty` as it is written; `at` names the place in errors. Handles cannot be written.
pub(super) fn read(json: &Json, ty: &Type, at: &str) -> Result<Val, String> {
    let wrong = |wanted: &str| format!("{at}: {json} is not {wanted}");
    Ok(match ty {
        Type::Bool => Val::Bool(json.as_bool().ok_or_else(|| wrong("true or false"))?),
        Type::S8 => Val::S8(integer(json, at)?),
        Type::U8 => Val::U8(integer(json, at)?),
        Type::S16 => Val::S16(integer(json, at)?),
        Type::U16 => Val::U16(integer(json, at)?),
        Type::S32 => Val::S32(integer(json, at)?),
        Type::U32 => Val::U32(integer(json, at)?),
        Type::S64 => Val::S64(integer(json, at)?),
        Type::U64 => Val::U64(integer(json, at)?),
        Type::Float32 => Val::Float32(json.as_f64().ok_or_else(|| wrong("a number"))? as f32),
        Type::Float64 => Val::Float64(json.as_f64().ok_or_else(|| wrong("a number"))?),
        Type::Char => {
            let mut chars = json.as_str().unwrap_or_default().chars();
            match (chars.next(), chars.next()) {
                (Some(char), None) => Val::Char(char),
                _ => return Err(wrong("one character")),
            }
        }
        Type::String => Val::String(json.as_str().ok_or_else(|| wrong("text"))?.to_owned()),
        Type::List(list) if list.ty() == Type::U8 && !json.is_array() => {
            let bytes = bytes(json).ok_or_else(|| wrong("text or {base64 = …}"))?;
            Val::List(bytes.into_iter().map(Val::U8).collect())
        }
        Type::List(list) => {
            let items = json.as_array().ok_or_else(|| wrong("a list"))?.iter().enumerate();
            let item = |(n, item): (usize, &Json)| read(item, &list.ty(), &format!("{at}[{n}]"));
            Val::List(items.map(item).collect::<Result<_, _>>()?)
        }
        Type::Tuple(tuple) => {
            let items = json.as_array().filter(|items| items.len() == tuple.types().len());
            let items = items.ok_or_else(|| wrong(&format!("a list of {}", tuple.types().len())))?;
            let each = items.iter().zip(tuple.types()).enumerate();
            let item = |(n, (item, ty)): (usize, (&Json, Type))| read(item, &ty, &format!("{at}[{n}]"));
            Val::Tuple(each.map(item).collect::<Result<_, _>>()?)
        }
        Type::Record(record) => {
            let object = json.as_object().ok_or_else(|| wrong("a table"))?;
            let known: Vec<&str> = record.fields().map(|field| field.name).collect();
            if let Some(stranger) = object.keys().find(|key| !known.contains(&&*key.replace('_', "-"))) {
                return Err(format!("{at}: no field `{stranger}`; there are {}", known.join(", ")));
            }
            let field = |field: wasmtime::component::types::Field<'_>| {
                let at = format!("{at}.{}", field.name);
                let value = match get(object, field.name) {
                    Some(json) => read(json, &field.ty, &at)?,
                    None => empty(&field.ty).ok_or_else(|| format!("{at} cannot be left out"))?,
                };
                Ok((field.name.to_owned(), value))
            };
            Val::Record(record.fields().map(field).collect::<Result<_, String>>()?)
        }
        Type::Variant(variant) => {
            let (name, payload) = named(json).ok_or_else(|| wrong("a case"))?;
            let mut cases = variant.cases();
            let names = || variant.cases().map(|case| case.name.to_owned()).collect::<Vec<_>>().join(", ");
            let case = cases.find(|case| case.name == name.replace('_', "-"));
            let case = case.ok_or_else(|| format!("{at}: no case `{name}`; there are {}", names()))?;
            let payload = match (&case.ty, payload) {
                (Some(ty), Some(json)) => Some(Box::new(read(json, ty, &format!("{at}.{name}"))?)),
                (None, None) => None,
                (Some(_), None) => return Err(format!("{at}: the case `{name}` needs a value")),
                (None, Some(_)) => return Err(format!("{at}: the case `{name}` has no value")),
            };
            Val::Variant(case.name.to_owned(), payload)
        }
        Type::Enum(names) => {
            let name = json.as_str().unwrap_or_default().replace('_', "-");
            let known = names.names().find(|known| *known == name);
            let told = || wrong(&format!("one of {}", names.names().collect::<Vec<_>>().join(", ")));
            Val::Enum(known.ok_or_else(told)?.to_owned())
        }
        Type::Option(_) if json.is_null() => Val::Option(None),
        Type::Option(option) => Val::Option(Some(Box::new(read(json, &option.ty(), at)?))),
        Type::Result(result) => {
            let side = |name: &str, ty: Option<Type>| -> Result<Option<Option<Box<Val>>>, String> {
                let Some(json) = json.as_object().and_then(|object| object.get(name)) else {
                    return Ok(None);
                };
                let value = ty.map(|ty| read(json, &ty, &format!("{at}.{name}"))).transpose()?;
                Ok(Some(value.map(Box::new)))
            };
            match (side("ok", result.ok())?, side("err", result.err())?) {
                (Some(ok), None) => Val::Result(Ok(ok)),
                (None, Some(err)) => Val::Result(Err(err)),
                _ => return Err(wrong("{ok = …} or {err = …}")),
            }
        }
        Type::Flags(flags) => {
            let set = json.as_array().ok_or_else(|| wrong("a list of names"))?;
            let name = |json: &Json| {
                let name = json.as_str().unwrap_or_default().replace('_', "-");
                flags.names().find(|known| *known == name).map(str::to_owned)
            };
            let set: Option<Vec<String>> = set.iter().map(name).collect();
            Val::Flags(set.ok_or_else(|| wrong("a list of its names"))?)
        }
        _ => return Err(format!("{at}: values of this type cannot be written")),
    })
}

/// What is left out; None for what must be said.
fn empty(ty: &Type) -> Option<Val> {
    Some(match ty {
        Type::Bool => Val::Bool(false),
        Type::S8 => Val::S8(0),
        Type::U8 => Val::U8(0),
        Type::S16 => Val::S16(0),
        Type::U16 => Val::U16(0),
        Type::S32 => Val::S32(0),
        Type::U32 => Val::U32(0),
        Type::S64 => Val::S64(0),
        Type::U64 => Val::U64(0),
        Type::Float32 => Val::Float32(0.0),
        Type::Float64 => Val::Float64(0.0),
        Type::String => Val::String(String::new()),
        Type::List(_) => Val::List(Vec::new()),
        Type::Option(_) => Val::Option(None),
        Type::Flags(_) => Val::Flags(Vec::new()),
        Type::Enum(names) => Val::Enum(names.names().next()?.to_owned()),
        Type::Variant(variant) => {
            let first = variant.cases().next().filter(|case| case.ty.is_none())?;
            Val::Variant(first.name.to_owned(), None)
        }
        Type::Record(record) => {
            let field = |field: wasmtime::component::types::Field<'_>| {
                Some((field.name.to_owned(), empty(&field.ty)?))
            };
            Val::Record(record.fields().map(field).collect::<Option<_>>()?)
        }
        _ => return None,
    })
}

/// A value as it is read by people. Handles are named and not shown.
pub(super) fn write(value: &Val) -> Json {
    let case = |name: &str, payload: Option<&Val>| match payload {
        None => json!(name),
        Some(payload) => json!({ name: write(payload) }),
    };
    match value {
        Val::Bool(flag) => json!(flag),
        Val::S8(number) => json!(number),
        Val::U8(number) => json!(number),
        Val::S16(number) => json!(number),
        Val::U16(number) => json!(number),
        Val::S32(number) => json!(number),
        Val::U32(number) => json!(number),
        Val::S64(number) => json!(number),
        Val::U64(number) => json!(number),
        Val::Float32(number) => json!(number),
        Val::Float64(number) => json!(number),
        Val::Char(char) => json!(char),
        Val::String(text) => json!(text),
        Val::List(items) if matches!(items.first(), Some(Val::U8(_))) => {
            let byte = |item: &Val| if let Val::U8(byte) = item { *byte } else { 0 };
            bytes_as_json(&items.iter().map(byte).collect::<Vec<_>>())
        }
        Val::List(items) | Val::Tuple(items) | Val::FixedLengthList(items) => {
            items.iter().map(write).collect()
        }
        Val::Record(fields) => {
            Json::Object(fields.iter().map(|(name, value)| (name.clone(), write(value))).collect())
        }
        Val::Variant(name, payload) => case(name, payload.as_deref()),
        Val::Enum(name) => json!(name),
        Val::Option(value) => value.as_deref().map_or(Json::Null, write),
        Val::Result(Ok(value)) => json!({ "ok": value.as_deref().map_or(Json::Null, write) }),
        Val::Result(Err(value)) => json!({ "err": value.as_deref().map_or(Json::Null, write) }),
        Val::Flags(names) => json!(names),
        Val::Map(pairs) => pairs.iter().map(|(key, value)| json!([write(key), write(value)])).collect(),
        Val::Resource(_) => json!({ "handle": "not shown" }),
        Val::Future(_) | Val::Stream(_) | Val::ErrorContext(_) => Json::Null,
    }
}

/// Bytes, as text where they are.
pub(super) fn bytes_as_json(bytes: &[u8]) -> Json {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.chars().any(|c| c.is_control() && c != '\n' && c != '\t') => json!(text),
        _ => json!({ "base64": STANDARD.encode(bytes) }),
    }
}

fn bytes(json: &Json) -> Option<Vec<u8>> {
    match json {
        Json::String(text) => Some(text.clone().into_bytes()),
        Json::Object(object) => STANDARD.decode(object.get("base64")?.as_str()?).ok(),
        _ => None,
    }
}

/// `"case"` or `{"case": payload}`.
fn named(json: &Json) -> Option<(&str, Option<&Json>)> {
    match json {
        Json::String(name) => Some((name, None)),
        Json::Object(object) if object.len() == 1 => {
            object.iter().next().map(|(name, payload)| (name.as_str(), Some(payload)))
        }
        _ => None,
    }
}

fn get<'a>(object: &'a Map<String, Json>, name: &str) -> Option<&'a Json> {
    object.get(name).or_else(|| object.get(&name.replace('-', "_")))
}

fn integer<T: TryFrom<i128>>(json: &Json, at: &str) -> Result<T, String> {
    let number = json.as_u64().map(i128::from).or_else(|| json.as_i64().map(i128::from));
    number
        .and_then(|number| T::try_from(number).ok())
        .ok_or_else(|| format!("{at}: {json} is no number that fits"))
}

/// Where `found` is not what is expected; what an expected table leaves out is not looked at.
pub(super) fn difference(expected: &Json, found: &Json, at: &str) -> Option<String> {
    match (expected, found) {
        (Json::Object(expected), _) if expected.is_empty() => None, // TOML has no null
        (Json::Object(expected), Json::Object(found)) => expected.iter().find_map(|(name, expected)| {
            let at = format!("{at}.{name}");
            match get(found, &name.replace('_', "-")) {
                Some(found) => difference(expected, found, &at),
                None => Some(format!("{at}: expected {expected}, there is none")),
            }
        }),
        (Json::Array(expected), Json::Array(found)) if expected.len() == found.len() => expected
            .iter()
            .zip(found)
            .enumerate()
            .find_map(|(n, (expected, found))| difference(expected, found, &format!("{at}[{n}]"))),
        (Json::Number(expected), Json::Number(found)) if expected.as_f64() == found.as_f64() => None,
        _ if expected == found => None,
        _ => Some(format!("{at}: expected {expected}, found {found}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_named_is_compared() {
        let found = json!({"ok": {"class": "instant", "payload": null, "holds": false}});
        assert_eq!(difference(&json!({"ok": {"class": "instant"}}), &found, "answer"), None);
        let told = difference(&json!({"ok": {"class": "other"}}), &found, "answer").unwrap();
        assert_eq!(told, r#"answer.ok.class: expected "other", found "instant""#);
        assert!(difference(&json!({"err": "denied"}), &found, "answer").unwrap().contains("there is none"));
        assert!(difference(&json!([1]), &json!([1, 2]), "answer").is_some());
        assert_eq!(difference(&json!({"sent_at": 1}), &json!({"sent-at": 1}), "answer"), None);
    }

    #[test]
    fn bytes_are_text_where_they_can_be() {
        for bytes in [b"hello".as_slice(), b"", b"\0\x01", "gr\u{fc}n\n".as_bytes(), b"\xff"] {
            assert_eq!(super::bytes(&bytes_as_json(bytes)).unwrap(), bytes);
        }
        assert!(integer::<u8>(&json!(256), "n").is_err() && integer::<u8>(&json!(-1), "n").is_err());
        assert_eq!(integer::<u64>(&json!(u64::MAX), "n"), Ok(u64::MAX));
    }
}
