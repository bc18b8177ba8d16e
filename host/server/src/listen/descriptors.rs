//! File descriptors: as many as the system gives, and no more connections than there are.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::{info, warn};

use crate::config::Limits;

/// Descriptors that are not for connections from outside: database, plugins, bus, log, listeners, and
/// those of the operator.
const RESERVED: u64 = 256;

/// Raises the soft limit to the hard one, and cuts down `connections` to what that allows: with a warning where the
/// operator `asked` for so many.
pub fn make_room(limits: &mut Limits, asked: bool) {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
    {
        warn!(%error, "the limit of open files cannot be raised to the hard limit");
    }
    // None: without limit.
    let Some(files) = getrlimit(Resource::Nofile).current else { return };
    let room = connections(files);
    if u64::from(limits.connections) > room {
        if asked {
            warn!(
                files,
                asked = limits.connections,
                connections = room,
                "fewer connections than limits.connections: each needs an open file"
            );
        } else {
            info!(files, connections = room, "as many connections as the limit of open files allows");
        }
        limits.connections = u32::try_from(room).unwrap_or(u32::MAX);
    } else {
        info!(files, connections = limits.connections, "open files");
    }
    // Strangers never have more than half of it all: a quarter each for MQTT and HTTP.
    let most = (limits.connections / 4).max(1);
    limits.connections_before_sign_in = limits.connections_before_sign_in.min(most);
}

/// Connections for so many open files; with few files, half of them.
fn connections(files: u64) -> u64 {
    files.saturating_sub(RESERVED.min(files / 2)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_files_are_kept_for_ourselves() {
        assert_eq!(connections(1_048_576), 1_048_320);
        assert_eq!(connections(1_024), 768);
        assert_eq!(connections(256), 128);
        assert_eq!(connections(0), 1);
    }
}
