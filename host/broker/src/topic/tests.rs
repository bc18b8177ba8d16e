//! Tests of topics: tables per statement, and the trees against the plain rules.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::wire::Text;

fn filter(text: &str) -> TopicFilter {
    TopicFilter::try_from(text).unwrap()
}

fn name(text: &str) -> TopicName {
    TopicName::try_from(text).unwrap()
}

#[test]
fn names_are_checked() {
    for good in ["a", "/", "a/b c/ü", "$SYS/x", "//", " "] {
        assert_eq!(TopicName::try_from(good).unwrap().as_str(), good);
    }
    for (bad, error) in [
        ("", TopicError::Empty),                    // [MQTT-4.7.3-1]
        ("a\0b", TopicError::Nul),                  // [MQTT-4.7.3-2]
        ("a/+", TopicError::WildcardInName),        // [MQTT-4.7.1-1]
        ("sport#", TopicError::WildcardInName),     //
        (&"x".repeat(65_536), TopicError::TooLong), // [MQTT-4.7.3-3]
        (&"/".repeat(MAX_LEVELS), TopicError::TooManyLevels),
    ] {
        assert_eq!(TopicName::try_from(bad), Err(error));
    }
    assert!(TopicName::try_from(&*"/".repeat(MAX_LEVELS - 1)).is_ok());
    assert!(TopicName::try_from(&*"x".repeat(65_535)).is_ok());
}

#[test]
fn filters_are_checked() {
    for good in
        ["a", "#", "+", "/", "+/+", "/+", "a/+/b", "a/#", "+/tennis/#", "$SYS/#", "$shared", "$share2/x"]
    {
        let filter = filter(good);
        assert_eq!((filter.as_str(), filter.matched(), filter.group()), (good, good, None));
    }
    for (bad, error) in [
        ("", TopicError::Empty),
        ("a\0", TopicError::Nul),
        ("sport+", TopicError::MisplacedWildcard), // [MQTT-4.7.1-2]
        ("a/+b", TopicError::MisplacedWildcard),
        ("sport/tennis#", TopicError::MisplacedWildcard), // [MQTT-4.7.1-1]
        ("sport/#/ranking", TopicError::MisplacedWildcard),
        ("##", TopicError::MisplacedWildcard),
        ("++", TopicError::MisplacedWildcard),
        (&"x".repeat(65_536), TopicError::TooLong),
        (&"+/".repeat(MAX_LEVELS), TopicError::TooManyLevels),
    ] {
        assert_eq!(TopicFilter::try_from(bad), Err(error), "{bad}");
    }
}

#[test]
fn shared_filters_are_taken_apart() {
    for (text, group, matched) in [
        ("$share/g/a/+", "g", "a/+"),
        ("$share/group/#", "group", "#"),
        ("$share/g//finance", "g", "/finance"),
        ("$share/g/$SYS/x", "g", "$SYS/x"),
    ] {
        let filter = filter(text);
        assert_eq!((filter.group(), filter.matched(), filter.as_str()), (Some(group), matched, text));
        assert!(filter.is_shared());
    }
    // [MQTT-4.8.2-1, MQTT-4.8.2-2]
    for bad in
        ["$share", "$share/", "$share/g", "$share/g/", "$share//a", "$share/g+/a", "$share/#/a", "$share/+/a"]
    {
        assert_eq!(TopicFilter::try_from(bad), Err(TopicError::BadShare), "{bad}");
    }
    assert_eq!(TopicFilter::try_from("$share/g/a#"), Err(TopicError::MisplacedWildcard));
}

#[test]
fn matching_follows_the_specification() {
    // Section 4.7.1's and 4.7.2's own examples, and the corners.
    for (filter, topic, expected) in [
        ("sport/tennis/player1/#", "sport/tennis/player1", true),
        ("sport/tennis/player1/#", "sport/tennis/player1/ranking", true),
        ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true),
        ("sport/#", "sport", true),
        ("sport/#", "sports", false),
        ("#", "a/b/c", true),
        ("#", "/", true),
        ("sport/tennis/+", "sport/tennis/player1", true),
        ("sport/tennis/+", "sport/tennis/player1/ranking", false),
        ("sport/+", "sport", false),
        ("sport/+", "sport/", true),
        ("+/+", "/finance", true),
        ("/+", "/finance", true),
        ("+", "/finance", false),
        ("#", "$SYS/monitor", false),
        ("+/monitor/Clients", "$SYS/monitor/Clients", false),
        ("$SYS/#", "$SYS/", true),
        ("$SYS/#", "$SYS", true),
        ("$SYS/monitor/+", "$SYS/monitor/Clients", true),
        ("a/+/$x", "a/$y/$x", true),
        ("Sport", "sport", false),
        ("a/b", "a/b/", false),
        ("a//b", "a/b", false),
        ("a/+/b", "a//b", true),
    ] {
        assert_eq!(matches(filter, topic), expected, "{filter} {topic}");
        let mut tree = Tree::new();
        tree.insert(&super::tests::filter(filter), 1, ());
        let mut hits = 0;
        tree.for_each_match(topic, |_, ()| hits += 1);
        assert_eq!(hits == 1, expected, "tree: {filter} {topic}");
        let mut names = NameTree::new();
        names.insert(&name(topic), ());
        let mut hits = 0;
        names.for_each_matching(filter, |()| hits += 1);
        assert_eq!(hits == 1, expected, "names: {filter} {topic}");
    }
}

#[test]
fn covering() {
    for (outer, inner, expected) in [
        ("#", "a/+/b/#", true),
        ("#", "+", true),
        ("#", "$SYS/#", false),
        ("+/#", "#", true),
        ("/+/#", "/#", true),
        ("+/+/#", "/#", true), // `/` is the shortest of them
        ("+/+/#", "#", false),
        ("a/+/#", "a/#", false), // `a` itself
        ("a/#", "a", true),
        ("a/#", "a/+/#", true),
        ("a/+", "a/b", true),
        ("a/+", "a/+", true),
        ("a/+", "a/#", false),
        ("a/b", "a/+", false),
        ("+/b", "$x/b", false),
        ("$x/+", "$x/b", true),
        ("im/u/+/anna", "im/u/bob/anna", true),
        ("im/u/anna/+", "im/u/+/anna", false),
    ] {
        assert_eq!(covers(outer, inner), expected, "{outer} {inner}");
    }
}

#[test]
fn a_tree_keeps_a_value_per_filter_and_key() {
    let mut tree = Tree::new();
    let (a, shared) = (filter("a/+"), filter("$share/g/a/+"));
    assert_eq!(tree.insert(&a, 1, "one"), None);
    assert_eq!(tree.insert(&a, 1, "two"), Some("one"));
    // The same levels, told apart by key.
    assert_eq!(tree.insert(&shared, 2, "member"), None);
    assert_eq!((tree.len(), tree.get(&a, &1)), (2, Some(&"two")));
    *tree.get_mut(&shared, &2).unwrap() = "changed";
    assert_eq!(tree.remove(&shared, &2), Some("changed"));
    assert_eq!(tree.remove(&shared, &2), None);
    assert_eq!(tree.remove(&filter("a"), &1), None);
    assert_eq!((tree.remove(&a, &1), tree.len(), tree.nodes()), (Some("two"), 0, 0));
}

#[test]
fn many_subscribers_of_one_filter_come_and_go() {
    let mut tree = Tree::new();
    let filter = filter("news/#");
    for key in 0..1_000 {
        tree.insert(&filter, key, key);
    }
    for key in (0..1_000).filter(|key| key % 3 != 0) {
        assert_eq!(tree.remove(&filter, &key), Some(key));
    }
    let mut keys = Vec::new();
    tree.for_each_match("news/today", |&key, _| keys.push(key));
    keys.sort();
    assert_eq!(keys, (0..1_000).filter(|key| key % 3 == 0).collect::<Vec<_>>());
    assert!(keys.iter().all(|key| tree.remove(&filter, key).is_some()));
    assert!(tree.is_empty() && tree.nodes() == 0);
}

#[test]
fn the_deepest_topics_are_walked() {
    let deep = name(&"a/".repeat(MAX_LEVELS - 1));
    let mut tree = Tree::new();
    tree.insert(&filter(&deep), 1, ());
    let mut names = NameTree::new();
    names.insert(&deep, ());
    let mut hits = 0;
    tree.for_each_match(&deep, |_, ()| hits += 1);
    // A name that was never checked goes no deeper than the tree.
    tree.for_each_match(&"a/".repeat(100_000), |_, ()| hits += 1);
    names.for_each_matching("#", |()| hits += 1);
    assert_eq!(hits, 2);
}

#[test]
fn retained_names_are_replaced_and_removed() {
    let mut names = NameTree::new();
    assert_eq!(names.insert(&name("a/b"), 1), None);
    assert_eq!(names.insert(&name("a/b"), 2), Some(1));
    names.insert(&name("a"), 3);
    assert_eq!((names.len(), names.get("a/b"), names.get("a/c")), (2, Some(&2), None));
    assert_eq!((names.remove("a"), names.remove("a"), names.nodes()), (Some(3), None, 2));
    assert_eq!((names.remove("a/b"), names.nodes(), names.is_empty()), (Some(2), 0, true));
}

/// A level that meets others often.
fn level() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(&["", "a", "b", "$s"][..])
}

fn names() -> impl Strategy<Value = String> {
    vec(level(), 1..5).prop_map(|levels| levels.join("/")).prop_filter("not empty", |name| !name.is_empty())
}

fn filters() -> impl Strategy<Value = String> {
    let level = prop_oneof![3 => level(), 2 => Just("+")];
    (vec(level, 0..4), any::<bool>())
        .prop_map(|(mut levels, open)| {
            if open || levels.is_empty() {
                levels.push("#");
            }
            levels.join("/")
        })
        .prop_filter("not empty", |filter| !filter.is_empty())
}

/// Every topic name of up to `depth` levels over the levels above and one that no filter names.
fn all_names(depth: usize) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let mut last = vec![String::new()];
    for at in 0..depth {
        last = last
            .iter()
            .flat_map(|name| {
                let slash = if at == 0 { "" } else { "/" };
                ["", "a", "b", "$s", "z"].map(|level| format!("{name}{slash}{level}"))
            })
            .collect();
        names.extend(last.iter().filter(|name| !name.is_empty()).cloned());
    }
    names
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn a_tree_agrees_with_matches(
        steps in vec((filters(), 0u8..4, any::<bool>()), 1..60),
        topics in vec(names(), 1..20),
    ) {
        let mut tree = Tree::new();
        let mut model = BTreeMap::new();
        for (at, (text, key, add)) in steps.into_iter().enumerate() {
            if add {
                prop_assert_eq!(tree.insert(&filter(&text), key, at), model.insert((text, key), at));
            } else {
                prop_assert_eq!(tree.remove(&filter(&text), &key), model.remove(&(text, key)));
            }
            prop_assert_eq!(tree.len(), model.len());
        }
        for topic in topics {
            let mut hits = Vec::new();
            tree.for_each_match(&topic, |&key, &value| hits.push((key, value)));
            hits.sort();
            let found = model.iter().filter(|((filter, _), _)| matches(filter, &topic));
            let mut expected: Vec<_> = found.map(|((_, key), &value)| (*key, value)).collect();
            expected.sort();
            prop_assert_eq!(hits, expected);
        }
        for (text, key) in model.keys() {
            prop_assert!(tree.remove(&filter(text), key).is_some());
        }
        prop_assert_eq!(tree.nodes(), 0);
    }

    #[test]
    fn names_agree_with_matches(
        steps in vec((names(), any::<bool>()), 1..60),
        filters in vec(filters(), 1..20),
    ) {
        let mut tree = NameTree::new();
        let mut model = BTreeMap::new();
        for (at, (text, add)) in steps.into_iter().enumerate() {
            if add {
                prop_assert_eq!(tree.insert(&name(&text), at), model.insert(text, at));
            } else {
                prop_assert_eq!(tree.remove(&text), model.remove(&text));
            }
            prop_assert_eq!(tree.len(), model.len());
        }
        let mut all = 0;
        tree.for_each(|_| all += 1);
        prop_assert_eq!(all, model.len());
        for filter in filters {
            let mut hits = Vec::new();
            tree.for_each_matching(&filter, |&value| hits.push(value));
            hits.sort();
            let found = model.iter().filter(|(name, _)| matches(&filter, name));
            let mut expected: Vec<_> = found.map(|(_, &value)| value).collect();
            expected.sort();
            prop_assert_eq!(hits, expected);
        }
        for text in model.keys() {
            prop_assert!(tree.remove(text).is_some());
        }
        prop_assert_eq!(tree.nodes(), 0);
    }

    #[test]
    fn covers_agrees_with_every_topic(outer in filters(), inner in filters()) {
        // Filters of up to four levels differ within five.
        let names = all_names(5);
        let every = names.iter().all(|name| !matches(&inner, name) || matches(&outer, name));
        prop_assert_eq!(covers(&outer, &inner), every, "{} {}", outer, inner);
    }

    #[test]
    fn any_text_is_a_name_a_filter_or_refused(text in "[ab/+#$\0]{0,12}|\\$share/[ab/+#]{0,8}") {
        let text = Text::from(text);
        if let Ok(name) = TopicName::new(text.clone()) {
            prop_assert!(!name.contains(['+', '#', '\0']));
        }
        if let Ok(filter) = TopicFilter::new(text.clone()) {
            prop_assert!(!filter.matched().is_empty());
            let rebuilt = match filter.group() {
                Some(group) => format!("$share/{group}/{}", filter.matched()),
                None => filter.matched().to_owned(),
            };
            prop_assert_eq!(rebuilt, &*text);
        }
    }
}
