//! What of a policy can become another while the node runs.

use std::{collections::BTreeSet, sync::Arc};

use arc_swap::ArcSwap;

use super::Policy;

/// The policy that is in force, for all who go by it.
pub type InForce = Arc<ArcSwap<Policy>>;

impl Policy {
    /// This policy as far as it can come into force beside `running`; and the keys in which the two differ and that
    /// only a start reads. Those keep what they are.
    pub fn beside(mut self, running: &Policy) -> (Policy, Vec<String>) {
        let mut waiting = Vec::new();
        let named: BTreeSet<_> = self.roles.keys().chain(running.roles.keys()).copied().collect();
        let others = named.into_iter().filter(|role| self.serves(*role) != running.serves(*role));
        waiting.extend(others.map(|role| format!("roles.{role}")));
        if self.signers != running.signers {
            waiting.push("signatures".to_owned());
        }
        if self.all_other != running.all_other {
            waiting.push("classes.all_other".to_owned());
        }
        self.roles.clone_from(&running.roles);
        self.signers.clone_from(&running.signers);
        self.all_other = running.all_other;
        (self, waiting)
    }

    /// Classes of commands that `running` has under its floor, and this policy has not.
    pub fn takes_from_floor(&self, running: &Policy) -> Vec<String> {
        running.must_encrypt.difference(&self.must_encrypt).cloned().collect()
    }

    /// Plugins whose table is another one in `running`, or is in one of the two only.
    pub fn changed_plugins(&self, running: &Policy) -> BTreeSet<String> {
        let named: BTreeSet<&String> = self.plugins.keys().chain(running.plugins.keys()).collect();
        named.into_iter().filter(|name| self.plugin(name) != running.plugin(name)).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn policy(text: &str) -> Policy {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("p.toml");
        fs::write(&file, text).unwrap();
        Policy { file: "p.toml".into(), ..Policy::load(&file).unwrap() }
    }

    #[test]
    fn what_only_a_start_reads_stays_and_is_named() {
        let running = policy("[roles]\nlogin = 'a'\ntoken = 't'\n[activation]\nprobation_secs = 1");
        let text = "[roles]\nlogin = 'b'\ntoken = 't'\n[classes]\nall_other = true\n[activation]\nprobation_secs = 2";
        let (beside, waiting) = policy(text).beside(&running);
        assert_eq!(waiting, ["roles.login", "classes.all_other"]);
        assert!(beside.roles == running.roles && !beside.all_other);
        assert_eq!(beside.activation.probation_secs, 2);
        let (same, waiting) =
            policy("[roles]\nlogin = 'b'\ntoken = 't'\n[activation]\nprobation_secs = 1").beside(&running);
        assert!(same == running && waiting == ["roles.login"]);
    }

    #[test]
    fn what_changes_is_found() {
        let running = policy(
            "[must_encrypt]\ncommand_classes = ['a', 'b']\n[plugins.one.config]\nx = 1\n[plugins.two]",
        );
        let other = policy(
            "[must_encrypt]\ncommand_classes = ['b', 'c']\n[plugins.one.config]\nx = 2\n[plugins.three]\ngrants = ['log']",
        );
        assert_eq!(other.takes_from_floor(&running), ["a"]);
        let changed = other.changed_plugins(&running);
        // A table that says nothing is as good as none.
        assert_eq!(changed.into_iter().collect::<Vec<_>>(), ["one", "three"]);
    }
}
