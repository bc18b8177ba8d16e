//! The files, looked at: written over, renamed over, or reached through a symbolic link that leads elsewhere now.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::time::MissedTickBehavior;

use super::{Cause, Reloader, Which};
use crate::admin::wire::Outcome;

/// How often they are looked at. Files that are the same twice have been written to their end.
const LOOK: Duration = Duration::from_secs(1);
/// Looks after which a refused certificate is tried again as it is: it may not have been valid yet.
const AGAIN: u32 = 60;

/// Tells one state of a file from another; None while it is not there.
type Stamp = Option<(u64, u64, u64, [i64; 4])>;

/// Files that are read together.
struct Watched {
    which: Which,
    files: Vec<PathBuf>,
    /// As they were at the last look.
    seen: Vec<Stamp>,
    /// As they were when they were read.
    read: Option<Vec<Stamp>>,
    /// Looks since then, when they were refused.
    refused: Option<u32>,
}

impl Watched {
    fn new<'a>(which: Which, files: impl IntoIterator<Item = &'a Path>) -> Self {
        let files: Vec<PathBuf> = files.into_iter().map(Path::to_owned).collect();
        Watched { which, files, seen: Vec::new(), read: None, refused: None }
    }

    /// Whether they are to be read now. The first time they are: they may have changed since the start read them.
    fn is_due(&mut self) -> bool {
        let stamps: Vec<Stamp> = self.files.iter().map(|file| stamp(file)).collect();
        let lie_still = stamps == self.seen;
        self.seen = stamps;
        if let Some(looks) = &mut self.refused {
            *looks += 1;
        }
        let again = self.which == Which::Certificate && self.refused.is_some_and(|looks| looks >= AGAIN);
        lie_still && (again || self.read.as_ref() != Some(&self.seen))
    }

    fn was_read(&mut self, outcome: Outcome) {
        self.read = Some(self.seen.clone());
        self.refused = (outcome == Outcome::Refused).then_some(0);
    }
}

impl Reloader {
    /// Watches the files until it is stopped.
    pub async fn watch(self: Arc<Self>) {
        let policy = self.life.policy.load().file().to_owned();
        let mut watched = [
            Watched::new(Which::Certificate, self.certificates.files()),
            Watched::new(Which::Policy, [&*policy]),
        ];
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            for files in &mut watched {
                if files.is_due() {
                    let part = self.reload_one(files.which, Cause::File).await;
                    files.was_read(part.outcome);
                }
            }
        }
    }
}

/// The file that a path leads to.
fn stamp(path: &Path) -> Stamp {
    let found = fs::metadata(path).ok()?;
    let times = [found.mtime(), found.mtime_nsec(), found.ctime(), found.ctime_nsec()];
    Some((found.dev(), found.ino(), found.len(), times))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// As Kubernetes has it: files are links through `..data`, which is swapped for another folder.
    #[test]
    fn a_swapped_link_is_a_change_once_it_lies_still() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for folder in ["one", "two"] {
            fs::create_dir(at(folder)).unwrap();
            fs::write(at(folder).join("tls.crt"), "same length").unwrap();
        }
        symlink("one", at("..data")).unwrap();
        symlink("..data/tls.crt", at("tls.crt")).unwrap();
        let mut files = Watched::new(Which::Certificate, [&*at("tls.crt")]);
        assert!(!files.is_due() && files.is_due(), "once at the start");
        files.was_read(Outcome::Unchanged);
        assert!(!files.is_due());
        symlink("two", at("..new")).unwrap();
        fs::rename(at("..new"), at("..data")).unwrap();
        assert!(!files.is_due() && files.is_due());
        files.was_read(Outcome::Applied);
        assert!(!files.is_due());
        fs::remove_file(at("..data")).unwrap();
        assert!(!files.is_due() && files.is_due());
    }

    #[test]
    fn a_refused_certificate_is_tried_again_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let mut files = Watched::new(Which::Certificate, [dir.path()]);
        files.is_due();
        assert!(files.is_due());
        files.was_read(Outcome::Refused);
        assert_eq!((0..2 * AGAIN).filter(|_| files.is_due()).count(), (AGAIN + 1) as usize);
        files.was_read(Outcome::Applied);
        assert!(!files.is_due());
    }
}
