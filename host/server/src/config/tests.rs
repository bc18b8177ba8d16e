use super::{
    env::{Kind, keys},
    *,
};

fn load(text: &str, vars: &[(&str, &str)]) -> Result<Config, String> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("postern.toml");
    fs::write(&file, text).unwrap();
    let vars = vars.iter().map(|(k, v)| (OsString::from(k), OsString::from(v)));
    let shown = format!("{}/", dir.path().display());
    Config::from_parts(Some(&file), vars).map_err(|e| e.to_string().replace(&shown, ""))
}

fn refused(text: &str, vars: &[(&str, &str)]) -> String {
    let error = load(text, vars).unwrap_err();
    assert_eq!(error.lines().count(), 1, "{error}");
    error
}

#[test]
fn an_empty_file_is_a_config() {
    let config = load("", &[]).unwrap();
    let data = config.file.as_deref().and_then(Path::parent).unwrap();
    assert_eq!(config.data, data);
    assert_eq!(config.listen.admin, AdminAddress::Unix(data.join("admin.sock")));
    assert_eq!(config.store_url, format!("sqlite:{}/postern.db", data.display()));
    assert_eq!(config.listen.tcp, None);
    assert_eq!(config.bus_url, None);
    assert_eq!(config.roles, NodeRoles { login: true, broker: true });
    assert_eq!(config.limits, Limits::default());
}

#[test]
fn every_fixed_key_is_read() {
    let config = load(
        r#"
        policy = "p.toml"
        roles = ["broker"]
        data = "/var/lib/postern"
        [listen]
        tcp = "127.0.0.1:1883"
        tls = "127.0.0.1:8883"
        ws = "127.0.0.1:8083"
        wss = "127.0.0.1:8084"
        http = "127.0.0.1:8443"
        admin = "unix:/run/postern.sock"
        health = "127.0.0.1:8080"
        [store]
        url = "postgres://localhost/postern"
        [bus]
        url = "nats://127.0.0.1:4222"
        [websocket]
        origins = ["https://app.example.com"]
        [plugins]
        dir = "/opt/plugins"
        [tls]
        certificate = "c.pem"
        key = "k.pem"
        [limits]
        connections = 7
        [advertise]
        host = "mqtt.example.com"
        [drain]
        server_reference = "mqtt-2.example.com:8883 [2001:db8::7]"
        [keys]
        master = "000102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1E1F"
        [log]
        filter = "debug"
        format = "text"
        [telemetry]
        otlp = "https://collector.example.com/tenant"
        sample = 0.5
        service = "postern-eu"
        "#,
        &[],
    )
    .unwrap();
    assert_eq!(config.listen.tcp.unwrap().to_string(), "127.0.0.1:1883");
    assert_eq!(config.listen.health.unwrap().to_string(), "127.0.0.1:8080");
    assert_eq!(config.roles.names(), ["broker"]);
    assert_eq!(config.bus_url.as_deref(), Some("nats://127.0.0.1:4222"));
    assert_eq!(config.limits.connections, 7);
    assert_eq!(config.server_reference.as_deref(), Some("mqtt-2.example.com:8883 [2001:db8::7]"));
    assert!(config.master_key.is_some());
    assert_eq!(config.log_format, Some(LogFormat::Text));
    let telemetry = config.telemetry.unwrap();
    assert_eq!((telemetry.share, &*telemetry.service), (0.5, "postern-eu"));
    assert_eq!(telemetry.endpoint.to_string(), "collector.example.com:443");
}

#[test]
fn every_key_can_be_set_by_environment() {
    for (key, kind) in keys() {
        let value = match key {
            "roles" => "login",
            "store.url" => "sqlite:x",
            "websocket.origins" => "https://x",
            "keys.master" => "0000000000000000000000000000000000000000000000000000000000000000",
            "admin.token" => "1234567890123456789012",
            "log.format" => "json",
            "telemetry.otlp" => "http://localhost",
            "telemetry.sample" => "0.5",
            _ if key.starts_with("listen.") => "127.0.0.1:0",
            _ if matches!(kind, Kind::Integer | Kind::Number) => "4096",
            _ if kind == Kind::Boolean => "true",
            _ => "x",
        };
        let mut vars = vec![(env::variable(key), value)];
        match key {
            "tls.certificate" => vars.push((env::variable("tls.key"), "x")),
            "tls.key" => vars.push((env::variable("tls.certificate"), "x")),
            "listen.admin" => vars.push((env::variable("admin.token"), "1234567890123456789012")),
            _ => {}
        }
        let vars: Vec<(&str, &str)> = vars.iter().map(|(k, v)| (k.as_str(), *v)).collect();
        load("", &vars).unwrap_or_else(|e| panic!("{key}: {e}"));
    }
}

#[test]
fn logs_and_traces_are_checked() {
    assert!(load("[telemetry]\nsample = 1", &[]).unwrap().telemetry.is_none(), "without a collector");
    for (text, wrong) in [
        ("[log]\nformat = \"xml\"", "postern.toml: log.format: \"xml\" is neither `text` nor `json`"),
        ("[telemetry]\nsample = 2", "postern.toml: telemetry.sample: expected a share from 0 to 1"),
        ("[telemetry]\nservice = \"\"", "postern.toml: telemetry.service: empty"),
        (
            "[telemetry]\notlp = \"localhost:4317\"",
            "postern.toml: telemetry.otlp: expected http://HOST:PORT or https://HOST:PORT, without user and query",
        ),
    ] {
        assert_eq!(refused(text, &[]), wrong);
    }
    let vars = [("POSTERN_TELEMETRY__SAMPLE", "half")];
    assert_eq!(refused("", &vars), "environment variable POSTERN_TELEMETRY__SAMPLE: expected a number");
}

#[test]
fn the_environment_wins_over_the_file() {
    let config = load(
        "roles = [\"login\"]\n[limits]\ninflight = 5\nsubscriptions = 6",
        &[("POSTERN_ROLES", "login, broker"), ("POSTERN_LIMITS__INFLIGHT", "9"), ("PATH", "/bin")],
    )
    .unwrap();
    assert_eq!(config.roles.names(), ["login", "broker"]);
    assert_eq!((config.limits.inflight, config.limits.subscriptions), (9, 6));
}

#[test]
fn unknown_keys_name_file_and_key() {
    assert_eq!(refused("colour = 1", &[]), "postern.toml: colour: unknown key");
    assert_eq!(refused("[listen]\ntcpp = \"a:1\"", &[]), "postern.toml: listen.tcpp: unknown key");
    assert_eq!(refused("[limits]\nconections = 1", &[]), "postern.toml: limits.conections: unknown key");
    assert_eq!(
        refused("", &[("POSTERN_LISTEN__TCPP", "127.0.0.1:1")]),
        "environment variable POSTERN_LISTEN__TCPP: no config key has this name"
    );
    assert!(refused("", &[("POSTERN_LOG", "debug")]).contains("POSTERN_LOG"));
}

#[test]
fn wrong_types_name_the_key_and_never_the_value() {
    let told = refused("[limits]\nconnections = \"many\"", &[]);
    assert!(told.starts_with("postern.toml: limits.connections: wrong type"), "{told}");
    let told = refused("[admin]\ntoken = 12345", &[]);
    assert!(told.starts_with("postern.toml: admin.token: wrong type") && !told.contains("12345"), "{told}");
    assert!(refused("[limits]\ninflight = 70000", &[]).contains("limits.inflight"));
    assert!(refused("listen = 3", &[]).starts_with("postern.toml: listen: wrong type"));
    assert_eq!(
        refused("", &[("POSTERN_LIMITS__CONNECTIONS", "many")]),
        "environment variable POSTERN_LIMITS__CONNECTIONS: expected a whole number"
    );
    assert!(
        refused("", &[("POSTERN_LIMITS__INFLIGHT", "70000")])
            .starts_with("environment variable POSTERN_LIMITS__INFLIGHT: ")
    );
}

#[test]
fn wrong_values_name_file_and_key() {
    for (text, told) in [
        ("roles = [\"logn\"]", "postern.toml: roles: \"logn\" is neither `login` nor `broker`"),
        ("roles = []", "postern.toml: roles: none named"),
        ("[listen]\ntls = \"8883\"", "postern.toml: listen.tls: \"8883\": expected `host:port`"),
        (
            "[store]\nurl = \"mysql://u:pw@h/d\"",
            "postern.toml: store.url: expected `sqlite:PATH` or `postgres://…`",
        ),
        ("[tls]\nkey = \"k.pem\"", "postern.toml: tls.key: needs the key tls.certificate beside it"),
        ("[limits]\nconnections = 0", "postern.toml: limits.connections: at least 1"),
        (
            "[websocket]\norigins = [\"app\"]",
            "postern.toml: websocket.origins: \"app\": expected `https://host`, `https://host:port` or `*`",
        ),
        (
            "[keys]\nmaster = \"abc\"",
            "postern.toml: keys.master: expected 32 bytes, as 64 hexadecimal digits",
        ),
        (
            "[listen]\nadmin = \"0.0.0.0:9\"",
            "postern.toml: listen.admin: a network admin listener needs the key admin.token",
        ),
        ("[admin]\ntoken = \"short\"", "postern.toml: admin.token: at least 22 characters"),
        (
            "[drain]\nserver_reference = \"a  b\"",
            "postern.toml: drain.server_reference: expected names or addresses of servers, each perhaps with \
             `:PORT`, with one space between two",
        ),
        (
            "[advertise]\nhost = \"https://x/\"",
            "postern.toml: advertise.host: expected a host name or an IP address, without port",
        ),
    ] {
        assert_eq!(refused(text, &[]), told);
    }
    assert_eq!(
        refused("", &[("POSTERN_LISTEN__TCP", "x")]),
        "environment variable POSTERN_LISTEN__TCP: \"x\": expected `host:port`"
    );
}

#[test]
fn bad_files_name_the_file() {
    let told = refused("[listen\n", &[]);
    assert!(told.starts_with("postern.toml: line 1: "), "{told}");
    let told = Config::from_parts(Some(Path::new("/no/such/postern.toml")), []).unwrap_err().to_string();
    assert!(told.starts_with("/no/such/postern.toml: No such file"), "{told}");
    let told = Config::from_parts(None, []).unwrap_err().to_string();
    assert!(told.starts_with("config: data: not set"), "{told}");
}

#[test]
fn what_holds_is_shown_with_where_it_comes_from() {
    let file = "data = \"d\"\n[limits]\ninflight = 5\n[store]\nurl = \"postgres://a:hidden@localhost/x\"\n[admin]\n\
                token = \"hidden-hidden-hidden-hidden\"";
    let config =
        load(file, &[("POSTERN_LISTEN__TCP", "127.0.0.1:0"), ("POSTERN_LIMITS__INFLIGHT", "9")]).unwrap();
    let shown = config.effective();
    let of = |key: &str| {
        let found = shown.iter().find(|it| it.key == key).unwrap();
        (found.value.as_ref().map(ToString::to_string).unwrap_or_default(), found.origin)
    };
    assert_eq!(of("listen.tcp"), ("\"127.0.0.1:0\"".to_owned(), "environment"));
    assert_eq!(of("limits.inflight"), ("9".to_owned(), "environment"));
    assert_eq!(of("limits.connections"), ("50000".to_owned(), "default"));
    assert_eq!(of("listen.admin"), ("\"unix:d/admin.sock\"".to_owned(), "default"));
    assert_eq!(of("data"), ("\"d\"".to_owned(), "file"));
    assert_eq!(of("listen.tls"), (String::new(), "default"));
    assert_eq!(of("store.url"), ("\"postgres://a:***@localhost/x\"".to_owned(), "file"));
    assert!(!format!("{shown:?}").contains("hidden"));
    assert_eq!(shown.len(), keys().count());
}

#[test]
fn the_example_has_every_key_and_the_defaults() {
    let text = include_str!("../../../../examples/postern.toml");
    // `#key = …` is off, `# text` is a comment.
    let is_off = |line: &str| {
        line.strip_prefix('#').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase()))
    };
    let all: Vec<&str> = text.lines().map(|line| if is_off(line) { &line[1..] } else { line }).collect();
    let config = load(&all.join("\n"), &[]).unwrap();
    assert_eq!(config.limits, Limits::default());
    let missing: Vec<_> = keys().filter(|(key, _)| *config.origin(key) == Origin::Default).collect();
    assert!(missing.is_empty(), "not in examples/postern.toml: {missing:?}");
    load(text, &[]).unwrap();
}

#[test]
fn secrets_are_not_shown() {
    let config = load("[admin]\ntoken = \"1234567890123456789012\"", &[]).unwrap();
    assert!(!format!("{config:?}").contains("1234567890"));
}
