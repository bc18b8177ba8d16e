//! Topic filters that are looked up by name: subscriptions.

use std::hash::Hash;

use hashbrown::HashMap;

use super::TopicFilter;
use super::arena::{Arena, Id, ROOT};

/// How many subscribers of one filter are searched one by one before a map is made for them.
const FEW: usize = 8;

/// Subscriptions: for each filter, a value by subscriber.
///
/// A filter stands here by its [`TopicFilter::matched`] part; the members of a shared group are
/// told apart from others by `K`, which is the caller's. Matching costs by the topic's levels, the
/// wildcard branches along them and the hits; inserting and removing by the filter's levels.
#[derive(Debug)]
pub struct Tree<K, V> {
    nodes: Arena<Node<K, V>>,
    len: usize,
}

#[derive(Debug)]
struct Node<K, V> {
    subscribers: Subscribers<K, V>,
    /// The children that a topic's every level has to try, found without hashing; 0 is none.
    plus: Id,
    hash: Id,
}

impl<K, V> Default for Node<K, V> {
    fn default() -> Self {
        Node { subscribers: Subscribers::None, plus: ROOT, hash: ROOT }
    }
}

/// Most filters have one subscriber; a few have very many.
#[derive(Debug)]
enum Subscribers<K, V> {
    None,
    One(K, V),
    Few(Vec<(K, V)>),
    Many(Box<HashMap<K, V>>),
}

impl<K, V> Default for Tree<K, V> {
    fn default() -> Self {
        Tree { nodes: Arena::new(), len: 0 }
    }
}

impl<K: Eq + Hash, V> Tree<K, V> {
    /// A tree without subscriptions.
    pub fn new() -> Self {
        Self::default()
    }

    /// Subscriptions in the tree.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Sets the value of `key` at `filter`; returns the former one.
    pub fn insert(&mut self, filter: &TopicFilter, key: K, value: V) -> Option<V> {
        let path = filter.matched();
        let id = self.nodes.find_or_insert(path);
        self.note_wildcards(path);
        let former = self.nodes.value_mut(id)?.subscribers.insert(key, value);
        self.len += usize::from(former.is_none());
        former
    }

    /// Takes `key` away from `filter`; returns its value.
    pub fn remove(&mut self, filter: &TopicFilter, key: &K) -> Option<V> {
        let path = filter.matched();
        let id = self.nodes.find(path)?;
        let former = self.nodes.value_mut(id)?.subscribers.remove(key)?;
        self.len -= 1;
        self.nodes.prune(id, |node| matches!(node.subscribers, Subscribers::None));
        self.note_wildcards(path);
        Some(former)
    }

    /// The value of `key` at `filter`.
    pub fn get(&self, filter: &TopicFilter, key: &K) -> Option<&V> {
        self.nodes.value(self.nodes.find(filter.matched())?)?.subscribers.get(key)
    }

    /// The value of `key` at `filter`, to be changed.
    pub fn get_mut(&mut self, filter: &TopicFilter, key: &K) -> Option<&mut V> {
        let id = self.nodes.find(filter.matched())?;
        self.nodes.value_mut(id)?.subscribers.get_mut(key)
    }

    /// Calls `each` for every subscription whose filter `topic` matches. A subscriber with several
    /// such filters comes several times.
    pub fn for_each_match<'a>(&'a self, topic: &str, mut each: impl FnMut(&'a K, &'a V)) {
        self.walk(ROOT, Some(topic), &mut each);
    }

    /// The recursion is as deep as the tree, hence at most [`super::MAX_LEVELS`].
    fn walk<'a>(&'a self, at: Id, rest: Option<&str>, each: &mut impl FnMut(&'a K, &'a V)) {
        let Some(node) = self.nodes.value(at) else { return };
        // Leading wildcards do not match a topic that starts with `$` [MQTT-4.7.2-1].
        let dollar = at == ROOT && rest.is_some_and(|rest| rest.starts_with('$'));
        if node.hash != ROOT && !dollar {
            // `a/#` matches `a` itself too.
            self.emit(node.hash, each);
        }
        let Some(rest) = rest else { return node.subscribers.for_each(each) };
        let (level, rest) = match rest.split_once('/') {
            Some((level, rest)) => (level, Some(rest)),
            None => (rest, None),
        };
        if node.plus != ROOT && !dollar {
            self.walk(node.plus, rest, each);
        }
        if let Some(child) = self.nodes.child(at, level) {
            self.walk(child, rest, each);
        }
    }

    fn emit<'a>(&'a self, id: Id, each: &mut impl FnMut(&'a K, &'a V)) {
        if let Some(node) = self.nodes.value(id) {
            node.subscribers.for_each(each);
        }
    }

    /// Brings `plus` and `hash` along `path` up to date.
    fn note_wildcards(&mut self, path: &str) {
        let mut at = ROOT;
        for level in path.split('/') {
            let child = self.nodes.child(at, level);
            if let Some(node) = self.nodes.value_mut(at) {
                match level {
                    "+" => node.plus = child.unwrap_or(ROOT),
                    "#" => node.hash = child.unwrap_or(ROOT),
                    _ => {}
                }
            }
            match child {
                Some(child) => at = child,
                None => return,
            }
        }
    }

    #[cfg(test)]
    pub(super) fn nodes(&self) -> usize {
        self.nodes.len()
    }
}

impl<K: Eq + Hash, V> Subscribers<K, V> {
    fn insert(&mut self, key: K, value: V) -> Option<V> {
        if let Some(present) = self.get_mut(&key) {
            return Some(std::mem::replace(present, value));
        }
        *self = match std::mem::replace(self, Subscribers::None) {
            Subscribers::None => Subscribers::One(key, value),
            Subscribers::One(k, v) => Subscribers::Few(vec![(k, v), (key, value)]),
            Subscribers::Few(mut few) if few.len() < FEW => {
                few.push((key, value));
                Subscribers::Few(few)
            }
            Subscribers::Few(few) => {
                Subscribers::Many(Box::new(few.into_iter().chain([(key, value)]).collect()))
            }
            Subscribers::Many(mut many) => {
                many.insert(key, value);
                Subscribers::Many(many)
            }
        };
        None
    }

    fn remove(&mut self, key: &K) -> Option<V> {
        let removed = match self {
            Subscribers::None => None,
            Subscribers::One(k, _) if k != key => None,
            Subscribers::One(..) => match std::mem::replace(self, Subscribers::None) {
                Subscribers::One(_, value) => Some(value),
                _ => None,
            },
            Subscribers::Few(few) => {
                let at = few.iter().position(|(k, _)| k == key)?;
                Some(few.swap_remove(at).1)
            }
            Subscribers::Many(many) => {
                let removed = many.remove(key);
                // Half empty: give memory back, not at every second removal.
                if many.len() * 4 < many.capacity() {
                    many.shrink_to(many.len() * 2);
                }
                removed
            }
        };
        if self.is_empty() {
            *self = Subscribers::None;
        }
        removed
    }

    fn is_empty(&self) -> bool {
        match self {
            Subscribers::None => true,
            Subscribers::One(..) => false,
            Subscribers::Few(few) => few.is_empty(),
            Subscribers::Many(many) => many.is_empty(),
        }
    }

    fn get(&self, key: &K) -> Option<&V> {
        match self {
            Subscribers::None => None,
            Subscribers::One(k, value) => (k == key).then_some(value),
            Subscribers::Few(few) => few.iter().find(|(k, _)| k == key).map(|(_, value)| value),
            Subscribers::Many(many) => many.get(key),
        }
    }

    fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        match self {
            Subscribers::None => None,
            Subscribers::One(k, value) => (k == key).then_some(value),
            Subscribers::Few(few) => few.iter_mut().find(|(k, _)| k == key).map(|(_, value)| value),
            Subscribers::Many(many) => many.get_mut(key),
        }
    }
}

impl<K, V> Subscribers<K, V> {
    fn for_each<'a>(&'a self, each: &mut impl FnMut(&'a K, &'a V)) {
        match self {
            Subscribers::None => {}
            Subscribers::One(key, value) => each(key, value),
            Subscribers::Few(few) => few.iter().for_each(|(key, value)| each(key, value)),
            Subscribers::Many(many) => many.iter().for_each(|(key, value)| each(key, value)),
        }
    }
}
