//! A file system of a few megabytes, to be filled.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::not_run;

/// In memory; taken off when dropped.
#[derive(Debug)]
pub struct SmallDisk {
    at: TempDir,
}

impl SmallDisk {
    /// Of so many MiB; None (and said so) where it cannot be mounted.
    pub fn mount(mib: u32) -> Option<Self> {
        let disk = SmallDisk { at: tempfile::tempdir().unwrap() };
        if !mount(&["-t", "tmpfs", "-o", &format!("size={mib}m"), "tmpfs"], disk.path()) {
            not_run("only root may mount a small file system");
            return None;
        }
        Some(disk)
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        self.at.path()
    }

    /// Gives it another size, with what is on it.
    pub fn resize(&self, mib: u32) {
        assert!(mount(&["-o", &format!("remount,size={mib}m")], self.path()), "no other size");
    }
}

fn mount(words: &[&str], at: &Path) -> bool {
    Command::new("mount").args(words).arg(at).output().is_ok_and(|output| output.status.success())
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: the program that uses it is ended just after this.
        Command::new("umount").arg("-l").arg(self.path()).output().ok();
    }
}
