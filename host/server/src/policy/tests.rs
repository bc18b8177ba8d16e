use super::*;

const BOTH: NodeRoles = NodeRoles { login: true, broker: true };

fn load(text: &str) -> Result<Policy, String> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("p.toml");
    fs::write(&file, text).unwrap();
    Policy::load(&file).map_err(|e| e.to_string().replace(&format!("{}/", dir.path().display()), ""))
}

#[test]
fn a_policy_is_typed() {
    let policy = load(
        "[roles]\nlogin = 'login-table'\n[failure]\nclassify = 'prefix'\nstore = 'closed'\n\
         [must_encrypt]\ncommand_classes = ['control']\n[classes]\nall_other = true\n\
         [plugins.login-table]\ngrants = ['sql', 'log']\nkeys = ['k']\n\
         [plugins.login-table.limits]\nmemory_mib = 8\n[plugins.login-table.config]\nx = 1",
    )
    .unwrap();
    assert_eq!(policy.serves(Role::Login), Some("login-table"));
    assert_eq!(policy.classify_failure, FailureRule::Prefix);
    assert!(policy.all_other && policy.must_encrypt.contains("control"));
    assert_eq!(policy.plugin("login-table").limits.memory_mib, 8);
    assert_eq!(policy.plugin("stranger"), PluginPolicy::default());
}

#[test]
fn mistakes_name_file_and_key() {
    for (text, told) in [
        ("[role]\n", "p.toml: line 1: unknown field `role`"),
        ("[roles]\nlogn = 'x'", "p.toml: roles.logn: "),
        ("[roles]\nlogin = '../x'", "p.toml: roles.login: \"../x\" is not a plugin name"),
        ("[must_encrypt]\nclasses = []", "p.toml: line 2: unknown field `classes`"),
        ("[failure]\nlogin = 'prefix'", "p.toml: failure.login: only `closed` is allowed"),
        ("[failure]\nclassify = 'open'", "p.toml: failure.classify: "),
        ("[plugins.a]\ngrant = []", "p.toml: line 2: unknown field `grant`"),
        ("[plugins.a]\ngrants = ['files']", "p.toml: plugins.a.grants: `files` is no interface"),
        ("[plugins.a]\nhttp_hosts = ['hr.example']", "p.toml: line 2: `hr.example`: expected name:port"),
        (
            "[plugins.a]\nhttp_hosts = ['http://hr.example:80']",
            "p.toml: line 2: `http://hr.example:80`: plain",
        ),
        ("[plugins.a_b]", "p.toml: plugins.\"a_b\": not a plugin name"),
        ("[plugins.a.limits]\nmemory_mib = 0", "p.toml: plugins.a.limits.memory_mib must be at least 1"),
        ("[classes]\nall_other = 1", "p.toml: line 2: invalid type"),
        ("[roles", "p.toml: line 1: "),
    ] {
        let error = load(text).unwrap_err();
        assert!(error.starts_with(told) && error.lines().count() == 1, "{text}: {error}");
    }
    let told = Policy::load(Path::new("/no/p.toml")).unwrap_err().to_string();
    assert!(told.starts_with("/no/p.toml: No such file") && told.ends_with("(key policy)"), "{told}");
}

#[test]
fn all_mistakes_are_told_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("p.toml");
    let text = "[role]\na = 1\n[roles]\nlogn = 'x'\nstore = 's'\n[plugins.a]\ngrant = []\ngrants = ['sql']\n\
                [plugins.a.limits]\nmemory_mib = 65";
    fs::write(&file, text).unwrap();
    let (policy, faults) = Policy::examine(&file);
    let faults: Vec<_> = faults.into_iter().map(|fault| fault.what).collect();
    let begins =
        ["plugins.a.grant: unknown", "role.a: unknown", "roles.logn: ", "plugins.a.limits.memory_mib "];
    assert_eq!(faults.len(), begins.len(), "{faults:?}");
    assert!(faults.iter().zip(begins).all(|(fault, begin)| fault.starts_with(begin)), "{faults:?}");
    let policy = policy.unwrap();
    assert!(policy.serves(Role::Store) == Some("s") && policy.plugin("a").grants.contains("sql"));
}

#[test]
fn the_page_is_what_the_types_say() {
    crate::reference::tests::is_committed("policy.md", &markdown());
}

#[test]
fn c1_every_role_that_a_node_runs_needs_a_plugin() {
    let policy = load("[roles]\nlogin = 'l'\ntoken = 't'\nclassify = 'c'\nstore = 's'").unwrap();
    let needed = |node| policy.needed(node).collect::<Result<Vec<_>, _>>();
    let told = needed(BOTH).unwrap_err().to_string();
    assert!(told.ends_with("roles.encrypt: not set"), "{told}");
    let login = NodeRoles { login: true, broker: false };
    assert_eq!(needed(login).unwrap(), [(Role::Login, "l")]);
}

#[test]
fn anonymous_stays_on_loopback() {
    let home = |name| (name, "127.0.0.1:1883".parse().unwrap());
    let home = [home(ListenerName::Tcp), (ListenerName::Ws, "[::1]:80".parse().unwrap())];
    assert!(refuse_anonymous_off_loopback(&home, true).is_ok());
    for address in ["0.0.0.0:1883", "[::]:1883", "192.0.2.1:1883"] {
        let out = [home[0], (ListenerName::Tls, address.parse().unwrap())];
        assert!(refuse_anonymous_off_loopback(&out, false).is_ok());
        let told = refuse_anonymous_off_loopback(&out, true).unwrap_err().to_string();
        assert!(told.contains("listen.tls") && told.contains(address), "{told}");
    }
}
