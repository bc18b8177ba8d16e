//! Levels as nodes, in one allocation: what both trees are made of.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

/// A node's place in the arena. The root is 0, which no node has as a child: hence it also stands
/// for "none".
pub(super) type Id = u32;

pub(super) const ROOT: Id = 0;
const NONE: Id = 0;

/// A tree of topic levels with a `T` at each node.
///
/// One hash table finds a child by (parent, level) for the whole tree, instead of a map in every
/// node: a leaf takes its node, the text of its level and some 8 bytes of table. Freed nodes are
/// used again; memory is given back when the tree is empty.
#[derive(Debug)]
pub(super) struct Arena<T> {
    nodes: Vec<Node<T>>,
    edges: HashTable<Id>,
    hasher: DefaultHashBuilder,
    /// The first of the free nodes, which are chained by `next`.
    free: Id,
}

#[derive(Debug)]
struct Node<T> {
    level: Box<str>,
    parent: Id,
    first_child: Id,
    /// Siblings, so that a wildcard can visit them and a removal is quick.
    next: Id,
    previous: Id,
    value: T,
}

impl<T: Default> Arena<T> {
    pub(super) fn new() -> Self {
        Arena {
            nodes: Vec::new(),
            edges: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            free: NONE,
        }
    }

    fn node(&self, id: Id) -> Option<&Node<T>> {
        self.nodes.get(id as usize)
    }

    fn node_mut(&mut self, id: Id) -> Option<&mut Node<T>> {
        self.nodes.get_mut(id as usize)
    }

    pub(super) fn value(&self, id: Id) -> Option<&T> {
        self.node(id).map(|node| &node.value)
    }

    pub(super) fn value_mut(&mut self, id: Id) -> Option<&mut T> {
        self.node_mut(id).map(|node| &mut node.value)
    }

    /// The child of `parent` at `level`.
    #[inline]
    pub(super) fn child(&self, parent: Id, level: &str) -> Option<Id> {
        if self.node(parent)?.first_child == NONE {
            return None;
        }
        let hash = self.hasher.hash_one((parent, level));
        self.edges
            .find(hash, |&id| self.node(id).is_some_and(|n| n.parent == parent && *n.level == *level))
            .copied()
    }

    /// The node at the end of `path`, if all of it is there.
    pub(super) fn find(&self, path: &str) -> Option<Id> {
        path.split('/').try_fold(ROOT, |at, level| self.child(at, level))
    }

    /// The node at the end of `path`, made where it is not there.
    pub(super) fn find_or_insert(&mut self, path: &str) -> Id {
        if self.nodes.is_empty() {
            self.nodes.push(Node::new("", NONE));
        }
        path.split('/').fold(ROOT, |at, level| match self.child(at, level) {
            Some(child) => child,
            None => self.add(at, level),
        })
    }

    fn add(&mut self, parent: Id, level: &str) -> Id {
        let mut node = Node::new(level, parent);
        node.next = self.node(parent).map_or(NONE, |parent| parent.first_child);
        let next = node.next;
        let id = match self.free {
            NONE => {
                self.nodes.push(node);
                (self.nodes.len() - 1) as Id
            }
            free => {
                self.free = self.node(free).map_or(NONE, |node| node.next);
                if let Some(place) = self.node_mut(free) {
                    *place = node;
                }
                free
            }
        };
        if let Some(next) = self.node_mut(next).filter(|_| next != NONE) {
            next.previous = id;
        }
        if let Some(parent) = self.node_mut(parent) {
            parent.first_child = id;
        }
        let Arena { nodes, edges, hasher, .. } = self;
        let hash =
            |id: &Id| nodes.get(*id as usize).map_or(0, |node| hasher.hash_one((node.parent, &*node.level)));
        edges.insert_unique(hash(&id), id, hash);
        id
    }

    /// Takes `id` away, and then its parents, as long as they have no children and `is_empty` holds.
    pub(super) fn prune(&mut self, mut id: Id, is_empty: impl Fn(&T) -> bool) {
        while id != ROOT {
            let Some(node) = self.node(id) else { return };
            if node.first_child != NONE || !is_empty(&node.value) {
                return;
            }
            let parent = node.parent;
            self.unlink(id);
            id = parent;
        }
        if self.node(ROOT).is_some_and(|root| root.first_child == NONE) {
            *self = Arena::new();
        }
    }

    fn unlink(&mut self, id: Id) {
        let Some(node) = self.node(id) else { return };
        let (parent, next, previous) = (node.parent, node.next, node.previous);
        let hash = self.hasher.hash_one((parent, &*node.level));
        if let Ok(edge) = self.edges.find_entry(hash, |&other| other == id) {
            edge.remove();
        }
        if let Some(next) = self.node_mut(next).filter(|_| next != NONE) {
            next.previous = previous;
        }
        match previous {
            NONE => {
                if let Some(parent) = self.node_mut(parent) {
                    parent.first_child = next;
                }
            }
            previous => {
                if let Some(previous) = self.node_mut(previous) {
                    previous.next = next;
                }
            }
        }
        let free = self.free;
        if let Some(node) = self.node_mut(id) {
            *node = Node::new("", NONE);
            node.next = free;
            self.free = id;
        }
    }

    /// The children of `id` and their levels, in no order.
    pub(super) fn children(&self, id: Id) -> impl Iterator<Item = (Id, &str)> {
        let first = self.node(id).map_or(NONE, |node| node.first_child);
        let mut next = first;
        std::iter::from_fn(move || {
            let id = next;
            let node = self.node(id).filter(|_| id != NONE)?;
            next = node.next;
            Some((id, &*node.level))
        })
    }

    /// Nodes in use, the root left out.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.edges.len()
    }
}

impl<T: Default> Node<T> {
    fn new(level: &str, parent: Id) -> Self {
        Node {
            level: level.into(),
            parent,
            first_child: NONE,
            next: NONE,
            previous: NONE,
            value: T::default(),
        }
    }
}
