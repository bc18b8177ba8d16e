//! Files that are their owner's alone (rules 10 and 11).

use std::fs;
use std::os::unix::fs::PermissionsExt;

use postern_tests::Postern;

#[tokio::test(flavor = "multi_thread")]
async fn s_a_master_key_that_others_can_read_is_named() {
    for (mode, good) in [(0o640, false), (0o604, false), (0o600, true)] {
        let started = Postern::try_start(|c| {
            fs::create_dir_all(c.data()).unwrap();
            let file = c.data().join("master.key");
            fs::write(&file, "07".repeat(32)).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        })
        .await;
        assert_eq!(started.is_ok(), good, "mode {mode:04o}");
        if let Err(refused) = started {
            assert_eq!(refused.status.code(), Some(1));
            assert!(refused.stderr.contains("master.key"), "{}", refused.stderr);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s_the_admin_socket_and_the_keys_are_for_their_owner_alone() {
    let postern = Postern::start(|c| c.shares_key = false).await;
    let (folder, data) = (postern.folder(), postern.data());
    for file in [folder.join("admin.sock"), data.join("master.key"), data.join("development-key.pem")] {
        let mode = fs::metadata(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display())).permissions();
        assert_eq!(mode.mode() & 0o077, 0, "{}: {:04o}", file.display(), mode.mode() & 0o7777);
    }
}
