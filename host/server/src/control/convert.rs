//! Between what the bus carries and what the roles are given: the same facts, two crates' types.

use postern_guest::roles::types as guest;

use super::wire::{Partner, Profile, Relation};

impl From<guest::Profile> for Profile {
    fn from(p: guest::Profile) -> Self {
        Profile {
            user: p.user,
            name: p.name,
            org: p.org,
            department: p.department,
            title: p.title,
            groups: p.groups,
        }
    }
}

impl From<Profile> for guest::Profile {
    fn from(p: Profile) -> Self {
        guest::Profile {
            user: p.user,
            name: p.name,
            org: p.org,
            department: p.department,
            title: p.title,
            groups: p.groups,
        }
    }
}

impl From<guest::Relation> for Relation {
    fn from(r: guest::Relation) -> Self {
        match r {
            guest::Relation::Same => Relation::Same,
            guest::Relation::Internal => Relation::Internal,
            guest::Relation::Upstream => Relation::Upstream,
            guest::Relation::Downstream => Relation::Downstream,
            guest::Relation::Member => Relation::Member,
            guest::Relation::Unrelated => Relation::Unrelated,
        }
    }
}

impl From<Relation> for guest::Relation {
    fn from(r: Relation) -> Self {
        match r {
            Relation::Same => guest::Relation::Same,
            Relation::Internal => guest::Relation::Internal,
            Relation::Upstream => guest::Relation::Upstream,
            Relation::Downstream => guest::Relation::Downstream,
            Relation::Member => guest::Relation::Member,
            Relation::Unrelated => guest::Relation::Unrelated,
        }
    }
}

impl From<guest::Partner> for Partner {
    fn from(p: guest::Partner) -> Self {
        Partner { org: p.org, relation: p.relation.into() }
    }
}

impl From<Partner> for guest::Partner {
    fn from(p: Partner) -> Self {
        guest::Partner { org: p.org, relation: p.relation.into() }
    }
}
