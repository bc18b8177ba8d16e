//! What an addressee is to the sender, from what the directory cache knows; what it does not know is asked
//! for.

use postern_guest::roles::types::Relation;

use super::publish::{Admitted, Question, Sender};
use crate::{
    control::{people::relation, topics::Address},
    node::Node,
};

impl Sender {
    /// What the addressee is to the sender, from what the directory cache knows.
    #[allow(clippy::result_large_err)] // the error is the answer
    pub(super) fn relation(&self, node: &Node, address: &Address<'_>) -> Result<Relation, Admitted> {
        let Some(sender) = &self.profile else { return Ok(Relation::Unrelated) };
        match *address {
            Address::User { to, .. } | Address::Note { user: to } => {
                let Some(own) = node.people.known_sender(&sender.user) else {
                    let (people, user) = (node.people.clone(), sender.user.clone());
                    return Err(Admitted::Ask(Box::pin(async move { people.sender(&user).await.map(drop) })));
                };
                match (own, node.people.known_person(to)) {
                    // The token is from the login: who has left since is related to whom he is now.
                    (Some(own), Some(Some(addressee))) => {
                        Ok(relation(&own.profile, &own.partners, &addressee))
                    }
                    // Whether a user exists is nobody's business who may not write to them.
                    (None, _) | (_, Some(None)) => Ok(Relation::Unrelated),
                    (_, None) => {
                        let (people, to) = (node.people.clone(), to.to_owned());
                        Err(Admitted::Ask(Box::pin(async move { people.person(&to).await.map(drop) })))
                    }
                }
            }
            Address::Group { group, .. } => match node.people.known_members(group) {
                Some(Some(members)) if members.binary_search(&sender.user).is_ok() => Ok(Relation::Member),
                Some(_) => Ok(Relation::Unrelated),
                None => Err(Admitted::Ask(ask_members(node, group))),
            },
            Address::Status { user } if user == sender.user => Ok(Relation::Same),
            _ => Ok(Relation::Unrelated),
        }
    }
}

/// Asks the directory for the members of a group.
pub(super) fn ask_members(node: &Node, group: &str) -> Question {
    let (people, group) = (node.people.clone(), group.to_owned());
    Box::pin(async move { people.members(&group).await.map(drop) })
}
