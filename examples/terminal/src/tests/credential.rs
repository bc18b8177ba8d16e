//! The key pair on disk, and the published vectors.

use std::os::unix::fs::PermissionsExt;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::signature::{Ed25519KeyPair, KeyPair};

use crate::credential::{Credential, answer, enrol, message};

#[test]
fn rule_12_the_key_is_made_once_and_is_private() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    assert!(Credential::of(&state, None).err().unwrap().to_string().contains("--enrol"));
    let password = folder.path().join("password");
    assert!(matches!(Credential::of(&state, Some(&password)), Ok(Credential::Password(_))));

    let public = enrol(&state).unwrap();
    assert_eq!(enrol(&state).unwrap(), public);
    assert_ne!(enrol(&folder.path().join("other")).unwrap(), public);
    let file = state.join("key");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let Credential::Key(pair) = Credential::of(&state, Some(&password)).unwrap() else { panic!("the key") };
    assert_eq!(URL_SAFE_NO_PAD.encode(pair.public_key()), public);

    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
    assert!(Credential::of(&state, None).err().unwrap().to_string().contains("chmod 600"));
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    for wrong in ["", "AAAA", "not base64url!"] {
        std::fs::write(&file, wrong).unwrap();
        let told = Credential::of(&state, Some(&password)).err().unwrap().to_string();
        assert!(told.contains("state/key: is not"), "{told}");
    }
}

#[test]
fn rule_12_what_is_signed_is_that_of_the_published_vectors() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/protocol/login-vectors.json");
    let vectors: serde_json::Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let text = |of: &serde_json::Value, key: &str| of[key].as_str().unwrap().to_owned();
    let seed = URL_SAFE_NO_PAD.decode(text(&vectors["keys"], "private_key")).unwrap();
    let pair = Ed25519KeyPair::from_seed_unchecked(&seed).unwrap();
    assert_eq!(URL_SAFE_NO_PAD.encode(pair.public_key()), text(&vectors["keys"], "public_key"));
    let logins = vectors["logins"].as_array().unwrap();
    assert!(logins.len() >= 3);
    for login in logins {
        let [challenge, user, client_id, server, host] =
            ["challenge", "user", "client_id", "server", "host"].map(|key| text(login, key));
        let called = phone::Api::new(&server, None).unwrap();
        assert_eq!(called.host().to_ascii_lowercase(), host);
        let bytes = message(&URL_SAFE_NO_PAD.decode(&challenge).unwrap(), &user, &client_id, called.host());
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, text(login, "message_hex"));
        let answer = answer(&pair, &challenge, &user, &client_id, called.host()).unwrap();
        assert_eq!(answer["signature"], login["signature"]);
    }
}
