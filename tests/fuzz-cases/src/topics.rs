//! Topic names and filters: the checks, the rules and both trees, against rules of our own.

use std::collections::BTreeMap;

use arbitrary::{Arbitrary, Unstructured};
use postern_broker::topic::{MAX_LEVELS, NameTree, TopicFilter, TopicName, Tree, covers, matches};

use crate::script::{self, Ops, from_bytes};

/// Texts are spelled with few letters, so that they meet.
const LETTERS: [&str; 16] =
    ["a", "b", "/", "/", "+", "#", "a/", "+/", "/#", "$", "$share/", "$share/g/", "é", "\0", "", "//"];

#[derive(Debug, Clone)]
struct Spelled(String);

impl<'a> Arbitrary<'a> for Spelled {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let len = u.int_in_range(0..=15_usize)?.min(u.len());
        let letters = u.bytes(len)?.iter().map(|byte| LETTERS[usize::from(byte % 16)]);
        let text: String = letters.collect();
        // Now and then as deep as they may be, and deeper.
        let deep = if len == 15 { "x/".repeat(MAX_LEVELS - 10) } else { String::new() };
        Ok(Spelled(deep + &text))
    }
}

from_bytes! {
    #[derive(Debug)]
    enum Op {
        Subscribe { filter: Spelled, key: u8 },
        Unsubscribe { nth: u8 },
        Retain { name: Spelled },
        Forget { nth: u8 },
        Publish { name: Spelled },
        Ask { filter: Spelled },
        Cover { outer: Spelled, inner: Spelled },
    }
}

#[derive(Default)]
struct World {
    tree: Tree<u8, u32>,
    names: NameTree<String>,
    /// By what is matched and the subscriber.
    subscribed: BTreeMap<(String, u8), (TopicFilter, u32)>,
    retained: BTreeMap<String, TopicName>,
    serial: u32,
}

pub(crate) fn run(bytes: &[u8]) {
    let Ops(ops): Ops<Op> = script::of(bytes);
    let _shown = crate::Shown(&ops);
    let mut world = World::default();
    for op in &ops {
        world.apply(op);
    }
    for ((_, key), (filter, value)) in std::mem::take(&mut world.subscribed) {
        assert_eq!(world.tree.remove(&filter, &key), Some(value));
    }
    for name in world.retained.keys() {
        assert_eq!(world.names.remove(name).as_ref(), Some(name));
    }
    assert!(world.tree.is_empty() && world.names.is_empty());
}

impl World {
    fn apply(&mut self, op: &Op) {
        self.serial += 1;
        match op {
            Op::Subscribe { filter, key } => {
                let Some(filter) = filter_of(filter) else { return };
                // Members of a group are told apart by their keys, as the router does.
                let key = key % 16 + if filter.is_shared() { 16 } else { 0 };
                let place = (filter.matched().to_owned(), key);
                let known = self.subscribed.get(&place).map(|(_, value)| value);
                assert_eq!(self.tree.get(&filter, &key), known);
                let former = self.tree.insert(&filter, key, self.serial);
                let known = self.subscribed.insert(place, (filter, self.serial));
                assert_eq!(former, known.map(|(_, value)| value));
                assert_eq!(self.tree.len(), self.subscribed.len());
            }
            Op::Unsubscribe { nth } => {
                let Some(place) = nth_of(self.subscribed.keys(), *nth).cloned() else { return };
                let Some((filter, value)) = self.subscribed.remove(&place) else { return };
                assert_eq!(self.tree.remove(&filter, &place.1), Some(value));
                assert_eq!(self.tree.remove(&filter, &place.1), None);
            }
            Op::Retain { name } => {
                let Some(name) = name_of(name) else { return };
                let former = self.names.insert(&name, name.to_string());
                assert_eq!(former.is_some(), self.retained.insert(name.to_string(), name).is_some());
                assert_eq!(self.names.len(), self.retained.len());
            }
            Op::Forget { nth } => {
                let Some(name) = nth_of(self.retained.keys(), *nth).cloned() else { return };
                self.retained.remove(&name);
                assert_eq!(self.names.remove(&name), Some(name.clone()));
                assert_eq!(self.names.get(&name), None);
            }
            Op::Publish { name } => {
                let Some(name) = name_of(name) else { return };
                let mut hits = Vec::new();
                self.tree.for_each_match(&name, |key, value| hits.push((*key, *value)));
                let fitting = self.subscribed.iter().filter(|((filter, _), _)| fits(filter, &name));
                let mut expected: Vec<_> = fitting.map(|((_, key), (_, value))| (*key, *value)).collect();
                hits.sort_unstable();
                expected.sort_unstable();
                assert_eq!(hits, expected, "{name}");
            }
            Op::Ask { filter } => {
                let Some(filter) = filter_of(filter) else { return };
                let mut hits = Vec::new();
                self.names.for_each_matching(filter.matched(), |name| hits.push(name.clone()));
                hits.sort_unstable();
                let names = self.retained.keys();
                let expected: Vec<_> = names.filter(|name| fits(filter.matched(), name)).cloned().collect();
                assert_eq!(hits, expected, "{filter}");
                for name in self.retained.keys() {
                    assert_eq!(filter.matches(name), fits(filter.matched(), name), "{filter} {name}");
                }
            }
            Op::Cover { outer, inner } => {
                if let (Some(outer), Some(inner)) = (filter_of(outer), filter_of(inner)) {
                    cover(outer.matched(), inner.matched());
                }
            }
        }
    }
}

fn nth_of<'a, T>(mut all: impl ExactSizeIterator<Item = &'a T>, nth: u8) -> Option<&'a T> {
    let len = all.len();
    all.nth(usize::from(nth) % len.max(1))
}

/// Checks the text as section 4.7 has it, and that the filter agrees.
fn filter_of(Spelled(text): &Spelled) -> Option<TopicFilter> {
    let (group, rest) = match text.strip_prefix("$share/") {
        None => (None, text.as_str()),
        Some(shared) => match shared.find('/') {
            None => (Some(""), ""),
            Some(end) => (Some(&shared[..end]), &shared[end + 1..]),
        },
    };
    let levels: Vec<&str> = rest.split('/').collect();
    let wild = |level: &&str| level.contains(['+', '#']);
    let good = !rest.is_empty()
        && text != "$share"
        && group.is_none_or(|group| !group.is_empty() && !group.contains(['+', '#']))
        && !text.contains('\0')
        && text.split('/').count() <= MAX_LEVELS
        && levels.iter().filter(|level| wild(level)).all(|level| ["+", "#"].contains(level))
        && !levels[..levels.len() - 1].contains(&"#");
    let filter = TopicFilter::try_from(&**text).ok();
    assert_eq!(filter.is_some(), good, "{text:?}");
    if let Some(filter) = &filter {
        assert_eq!((filter.group(), filter.matched()), (group, rest));
        assert_eq!(filter.has_wildcard(), wild(&rest));
        assert_eq!(*filter, filter.detached());
    }
    filter
}

fn name_of(Spelled(text): &Spelled) -> Option<TopicName> {
    let good = !text.is_empty() && !text.contains(['\0', '+', '#']) && text.split('/').count() <= MAX_LEVELS;
    let name = TopicName::try_from(&**text).ok();
    assert_eq!(name.is_some(), good, "{text:?}");
    name
}

/// Section 4.7 once more, by recursion over the levels.
fn fits(filter: &str, name: &str) -> bool {
    fn levels(filter: &[&str], name: &[&str]) -> bool {
        match (filter, name) {
            (["#"], _) | ([], []) => true,
            ([first, filter @ ..], [level, name @ ..]) => {
                (*first == "+" || first == level) && levels(filter, name)
            }
            _ => false,
        }
    }
    let (filter, name): (Vec<&str>, Vec<&str>) = (filter.split('/').collect(), name.split('/').collect());
    let hidden = name[0].starts_with('$') && ["+", "#"].contains(&filter[0]);
    let fit = !hidden && levels(&filter, &name);
    assert_eq!(matches(&filter.join("/"), &name.join("/")), fit);
    fit
}

/// `outer` covers `inner` if, and only if, it matches the most foreign names that `inner` does.
fn cover(outer: &str, inner: &str) {
    let plain = inner.replace('+', "\u{fe}");
    let depth = outer.split('/').count() + 1;
    let names: Vec<String> = match plain.strip_suffix('#') {
        None => vec![plain],
        Some(parent) => {
            let deeper = (1..=depth).map(|levels| parent.to_owned() + &vec!["\u{fe}"; levels].join("/"));
            deeper.chain(parent.strip_suffix('/').map(str::to_owned)).collect()
        }
    };
    let all = names.iter().filter(|name| !name.is_empty()).all(|name| fits(outer, name));
    assert_eq!(covers(outer, inner), all, "{outer} {inner}");
}
