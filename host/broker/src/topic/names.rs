//! Topic names that are looked up by filter: retained messages.

use super::TopicName;
use super::arena::{Arena, Id, ROOT};

/// A value for each of many topic names.
#[derive(Debug)]
pub struct NameTree<V> {
    nodes: Arena<Option<V>>,
    len: usize,
}

impl<V> Default for NameTree<V> {
    fn default() -> Self {
        NameTree { nodes: Arena::new(), len: 0 }
    }
}

impl<V> NameTree<V> {
    /// A tree without names.
    pub fn new() -> Self {
        Self::default()
    }

    /// Names in the tree.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Sets the value of `topic`; returns the former one.
    pub fn insert(&mut self, topic: &TopicName, value: V) -> Option<V> {
        let id = self.nodes.find_or_insert(topic);
        let former = self.nodes.value_mut(id)?.replace(value);
        self.len += usize::from(former.is_none());
        former
    }

    /// Takes `topic` out; returns its value.
    pub fn remove(&mut self, topic: &str) -> Option<V> {
        let id = self.nodes.find(topic)?;
        let former = self.nodes.value_mut(id)?.take()?;
        self.len -= 1;
        self.nodes.prune(id, Option::is_none);
        Some(former)
    }

    /// The value of `topic`.
    pub fn get(&self, topic: &str) -> Option<&V> {
        self.nodes.value(self.nodes.find(topic)?)?.as_ref()
    }

    /// The value of `topic`, to be changed.
    pub fn get_mut(&mut self, topic: &str) -> Option<&mut V> {
        let id = self.nodes.find(topic)?;
        self.nodes.value_mut(id)?.as_mut()
    }

    /// Calls `each` for every name that matches `filter` (valid, without `$share/GROUP/`), in no
    /// order. Leading wildcards pass by the names that start with `$` [MQTT-4.7.2-1].
    pub fn for_each_matching<'a>(&'a self, filter: &str, mut each: impl FnMut(&'a V)) {
        self.walk(ROOT, Some(filter), &mut each);
    }

    /// Calls `each` for every name, those with `$` included.
    pub fn for_each<'a>(&'a self, mut each: impl FnMut(&'a V)) {
        self.all(ROOT, &mut each);
    }

    /// The recursion is as deep as the tree, hence at most [`super::MAX_LEVELS`].
    fn walk<'a>(&'a self, at: Id, rest: Option<&str>, each: &mut impl FnMut(&'a V)) {
        let Some(rest) = rest else {
            self.nodes.value(at).and_then(Option::as_ref).into_iter().for_each(each);
            return;
        };
        let (level, rest) = match rest.split_once('/') {
            Some((level, rest)) => (level, Some(rest)),
            None => (rest, None),
        };
        let hidden = |name: &str| at == ROOT && name.starts_with('$');
        match level {
            "#" => {
                self.nodes.value(at).and_then(Option::as_ref).into_iter().for_each(&mut *each);
                for (child, _) in self.nodes.children(at).filter(|(_, name)| !hidden(name)) {
                    self.all(child, each);
                }
            }
            "+" => {
                for (child, _) in self.nodes.children(at).filter(|(_, name)| !hidden(name)) {
                    self.walk(child, rest, each);
                }
            }
            literal => {
                if let Some(child) = self.nodes.child(at, literal) {
                    self.walk(child, rest, each);
                }
            }
        }
    }

    fn all<'a>(&'a self, at: Id, each: &mut impl FnMut(&'a V)) {
        self.nodes.value(at).and_then(Option::as_ref).into_iter().for_each(&mut *each);
        for (child, _) in self.nodes.children(at) {
            self.all(child, each);
        }
    }

    #[cfg(test)]
    pub(super) fn nodes(&self) -> usize {
        self.nodes.len()
    }
}
