//! What operators begin with (examples/deploy): it parses, it agrees with the image, and what it names is there.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use postern_tests::{not_run, program, root};
use serde_json::Value;

fn deploy() -> PathBuf {
    root().join("examples/deploy")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The documents of a YAML file.
fn yaml(path: &Path) -> Vec<Value> {
    let text = read(path);
    let documents = serde_yaml_ng::Deserializer::from_str(&text);
    let parsed: Result<_, _> = documents.map(<Value as serde::Deserialize>::deserialize).collect();
    parsed.unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The document of this kind and name.
fn object<'a>(documents: &'a [Value], kind: &str, name: &str) -> &'a Value {
    let is_it = |it: &&Value| it["kind"] == kind && it["metadata"]["name"] == name;
    documents.iter().find(is_it).unwrap_or_else(|| panic!("no {kind} {name}"))
}

fn listed(value: &Value) -> &[Value] {
    value.as_array().expect("a list")
}

/// Postern's own parser takes a config, which names these ports.
fn ports(config: &str) -> BTreeSet<u64> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("postern.toml");
    fs::write(&file, config).unwrap();
    let admin = format!("unix:{}", folder.path().join("nobody").display());
    let mut command = Command::new(program());
    let output = command.args(["status", "--config"]).arg(&file).args(["--admin", &admin]).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("no postern answers there"), "{config}\n{told}");
    let config: toml::Table = config.parse().unwrap();
    let listeners = config["listen"].as_table().unwrap().values();
    let port = |address: &toml::Value| address.as_str().unwrap().rsplit_once(':')?.1.parse().ok();
    listeners.filter_map(port).collect()
}

/// The words of an instruction of the Containerfile that appears once.
fn instruction(name: &str) -> Vec<String> {
    let text = read(&root().join("Containerfile"));
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let line = line.unwrap_or_else(|| panic!("no {name}"));
    let plain = line.replace(['[', ']', '"', ','], " ");
    plain.split_whitespace().map(str::to_owned).collect()
}

/// Paths of config, data and plugins: the image has a volume or a folder for each.
fn agrees_with_the_image(config: &str) {
    let (config, volumes) = (config.parse::<toml::Table>().unwrap(), instruction("VOLUME"));
    let containerfile = read(&root().join("Containerfile"));
    let text = |value: &toml::Value| value.as_str().unwrap().to_owned();
    assert!(volumes.contains(&text(&config["data"])), "{config}");
    assert!(volumes.contains(&text(&config["plugins"]["dir"])), "{config}");
    for path in [&config["policy"], &config["plugins"]["defaults"]] {
        assert!(containerfile.contains(&format!(" {}\n", text(path))), "{path} is not in the image");
    }
}

#[test]
fn the_images_config_names_what_the_image_has() {
    let config = read(&deploy().join("container/postern.toml"));
    let exposed = instruction("EXPOSE").iter().map(|port| port.parse().unwrap()).collect();
    assert_eq!(ports(&config), exposed);
    agrees_with_the_image(&config);
    assert_eq!(instruction("ENV"), ["POSTERN_CONFIG=/etc/postern/postern.toml"]);
}

#[test]
fn kubernetes_manifests_agree_with_their_config_and_the_image() {
    let documents = yaml(&deploy().join("kubernetes/postern.yaml"));
    let config = object(&documents, "ConfigMap", "postern")["data"]["postern.toml"].as_str().unwrap();
    agrees_with_the_image(config);
    let set = &object(&documents, "StatefulSet", "postern")["spec"];
    let (pod, container) = (&set["template"]["spec"], &set["template"]["spec"]["containers"][0]);
    let port_of = |port: &Value| port["containerPort"].as_u64().unwrap();
    assert_eq!(listed(&container["ports"]).iter().map(port_of).collect::<BTreeSet<_>>(), ports(config));

    // Services lead to named ports that are there, by the same number, for login tells clients the number.
    for name in ["postern", "postern-nodes"] {
        for port in listed(&object(&documents, "Service", name)["spec"]["ports"]) {
            let is_it = |it: &&Value| it["name"] == port["targetPort"];
            let inside = listed(&container["ports"]).iter().find(is_it).expect("a port of the container");
            assert_eq!(inside["containerPort"], port["port"], "{port}");
        }
    }
    for (probe, path) in
        [("startupProbe", "/healthz"), ("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")]
    {
        assert_eq!(container[probe]["httpGet"]["path"], path);
        assert_eq!(container[probe]["httpGet"]["port"], "health");
    }

    // Volumes over the image's own, and nothing else that can be written.
    let mounted = |path: &str| listed(&container["volumeMounts"]).iter().any(|it| it["mountPath"] == path);
    assert!(instruction("VOLUME").iter().all(|volume| mounted(volume)));
    assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
    assert_eq!(container["securityContext"]["allowPrivilegeEscalation"], false);
    assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    let user = instruction("USER")[0].split(':').next().unwrap().parse::<u64>().unwrap();
    for key in ["runAsUser", "runAsGroup", "fsGroup"] {
        assert_eq!(pod["securityContext"][key], user, "{key}");
    }

    // Variables of a Service named postern would be taken for config keys.
    assert_eq!(pod["enableServiceLinks"], false);
    let drain = config.parse::<toml::Table>().unwrap()["limits"]["drain_secs"].as_integer().unwrap();
    assert!(pod["terminationGracePeriodSeconds"].as_i64().unwrap() >= drain + 15);
    let budget = &object(&documents, "PodDisruptionBudget", "postern")["spec"];
    assert_eq!(budget["selector"], set["selector"]);
}

#[test]
fn compose_agrees_with_the_image() {
    let folder = deploy().join("compose");
    let compose = &yaml(&folder.join("compose.yaml"))[0];
    let postern = &compose["services"]["postern"];
    let exposed = instruction("EXPOSE");
    for port in listed(&postern["ports"]) {
        let (outside, inside) = port.as_str().unwrap().split_once(':').unwrap();
        assert!(outside == inside && exposed.contains(&inside.to_owned()), "{port}");
    }
    let volumes = instruction("VOLUME");
    for volume in listed(&postern["volumes"]) {
        let (name, path) = volume.as_str().unwrap().split_once(':').unwrap();
        assert!(volumes.contains(&path.to_owned()), "{volume}");
        assert!(compose["volumes"].get(name).is_some(), "{volume}");
    }
    // What is mounted out of this folder is there.
    for service in ["prometheus", "grafana"] {
        for volume in listed(&compose["services"][service]["volumes"]) {
            let from = volume.as_str().unwrap().split(':').next().unwrap();
            assert!(!from.starts_with('.') || folder.join(from).is_file(), "{volume}");
        }
    }
    let prometheus = &yaml(&folder.join("prometheus.yaml"))[0];
    assert_eq!(prometheus["scrape_configs"][0]["static_configs"][0]["targets"][0], "postern:8080");
    for file in ["datasource.yaml", "dashboards.yaml"] {
        assert_eq!(yaml(&folder.join("grafana").join(file))[0]["apiVersion"], 1);
    }
}

/// All `postern_…` names in a text.
fn metrics(text: &str) -> BTreeSet<String> {
    let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let words = text.split(|c: char| !is_name(c)).filter(|word| word.starts_with("postern_"));
    words.map(str::to_owned).collect()
}

/// Those that the program counts, as its sources name them.
fn counted(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            counted(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.extend(read(&path).split('"').skip(1).step_by(2).flat_map(metrics));
        }
    }
}

#[test]
fn every_metric_of_dashboard_and_alerts_exists() {
    let mut known = BTreeSet::new();
    for part in ["server", "guest", "broker", "store", "bus"] {
        counted(&root().join("host").join(part).join("src"), &mut known);
    }
    let rules = &yaml(&deploy().join("alerts.yaml"))[0]["groups"][0]["rules"];
    let mut expressions: Vec<String> =
        listed(rules).iter().map(|rule| rule["expr"].as_str().unwrap().to_owned()).collect();
    let dashboard: Value = serde_json::from_str(&read(&deploy().join("dashboard.json"))).unwrap();
    let panels = listed(&dashboard["panels"]).iter().filter(|panel| panel["type"] != "row");
    for target in panels.flat_map(|panel| listed(&panel["targets"])) {
        expressions.push(target["expr"].as_str().unwrap().to_owned());
    }
    let named: BTreeSet<String> = expressions.iter().flat_map(|text| metrics(text)).collect();
    assert!(named.len() > 20, "{named:?}");
    let unknown: Vec<_> = named.difference(&known).collect();
    assert!(unknown.is_empty(), "no such metrics: {unknown:?}");
}

#[test]
fn systemd_takes_the_unit_and_finds_it_hardened() {
    let unit = read(&deploy().join("systemd/postern.service"));
    let config = read(&deploy().join("systemd/postern.toml"));
    assert!(ports(&config).contains(&8883));
    let config: toml::Table = config.parse().unwrap();
    for (folder, directive) in [(&config["data"], "postern"), (&config["plugins"]["dir"], "postern-plugins")]
    {
        assert_eq!(folder.as_str(), Some(format!("/var/lib/{directive}").as_str()));
        assert!(unit.lines().any(|line| {
            line.strip_prefix("StateDirectory=").is_some_and(|names| names.split(' ').any(|n| n == directive))
        }));
    }
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        return not_run("systemd-analyze is not installed (Debian package systemd)");
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("postern.service");
    fs::write(&file, unit.replace("/usr/bin/postern", program().to_str().unwrap())).unwrap();
    for words in [&["verify"][..], &["security", "--offline=true", "--threshold=20", "--no-pager"]] {
        let output = Command::new("systemd-analyze").args(words).arg(&file).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        if told.contains("unrecognized option") {
            return not_run("systemd-analyze is older than version 250");
        }
        // What it depends on is looked at, too, and is not ours.
        let of_ours: Vec<&str> = told.lines().filter(|line| line.contains("postern")).collect();
        assert!(output.status.success() && of_ours.is_empty(), "systemd-analyze {words:?}: {told}");
    }
}
