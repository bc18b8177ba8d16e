//! `postern:host/config`: the plugin's own table from the policy file.

use toml::{Table, Value};
use wasmtime::component::{HasData, Linker};

use super::bindings::postern::host::config;
use crate::state::State;

pub(crate) struct ConfigView<'a> {
    table: &'a Table,
}

impl HasData for ConfigView<'static> {
    type Data<'a> = ConfigView<'a>;
}

impl ConfigView<'_> {
    fn at(&self, key: &str) -> Option<&Value> {
        let (path, last) = key.rsplit_once('.').map_or((None, key), |(path, last)| (Some(path), last));
        self.table_at(path)?.get(last)
    }

    fn table_at(&self, path: Option<&str>) -> Option<&Table> {
        path.into_iter().flat_map(|path| path.split('.')).try_fold(self.table, |table, key| {
            match table.get(key)? {
                Value::Table(table) => Some(table),
                _ => None,
            }
        })
    }
}

impl config::Host for ConfigView<'_> {
    fn get(&mut self, key: String) -> Option<config::Value> {
        Some(match self.at(&key)? {
            Value::String(text) => config::Value::Text(text.clone()),
            Value::Integer(number) => config::Value::Integer(*number),
            Value::Float(number) => config::Value::Number(*number),
            Value::Boolean(flag) => config::Value::Flag(*flag),
            Value::Datetime(time) => config::Value::Text(time.to_string()),
            Value::Array(values) => {
                config::Value::Texts(values.iter().map(text).collect::<Option<Vec<_>>>()?)
            }
            Value::Table(_) => return None,
        })
    }

    fn keys(&mut self, prefix: String) -> Vec<String> {
        let path = (!prefix.is_empty()).then_some(prefix.as_str());
        let mut keys: Vec<String> =
            self.table_at(path).map(|table| table.keys().cloned().collect()).unwrap_or_default();
        keys.sort_unstable();
        keys
    }
}

/// An element of a list as text; tables and lists within lists have none.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Array(_) | Value::Table(_) => None,
        other => Some(other.to_string()),
    }
}

pub(crate) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    config::add_to_linker::<State, ConfigView<'static>>(linker, |state| ConfigView {
        table: &state.granted.config,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use config::Host;

    #[test]
    fn values_are_found_by_dotted_keys() {
        let table: Table =
            toml::from_str("b = true\nlist = ['x', 1]\nodd = [[1]]\n[limits]\ninflight = 20\nrate = 0.5")
                .unwrap();
        let mut view = ConfigView { table: &table };
        assert!(matches!(view.get("limits.inflight".into()), Some(config::Value::Integer(20))));
        assert!(matches!(view.get("limits.rate".into()), Some(config::Value::Number(r)) if r == 0.5));
        assert!(matches!(view.get("b".into()), Some(config::Value::Flag(true))));
        assert!(matches!(view.get("list".into()), Some(config::Value::Texts(l)) if l == ["x", "1"]));
        for absent in ["limits", "limits.none", "none.inflight", "b.x", "odd", "", "."] {
            assert!(view.get(absent.into()).is_none(), "{absent}");
        }
        assert_eq!(view.keys(String::new()), ["b", "limits", "list", "odd"]);
        assert_eq!(view.keys("limits".into()), ["inflight", "rate"]);
        assert!(view.keys("none".into()).is_empty());
    }
}
