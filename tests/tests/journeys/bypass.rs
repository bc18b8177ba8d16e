//! Plugins decide in every build that serves: the switch by which `cargo xtask bench plugins` measures the host
//! without them is in none.

use std::fs;

use postern_tests::{Postern, program, root};
use toml::Table;

/// The feature of host/server that has the switch.
const FEATURE: &str = "bench-bypass";

#[tokio::test(flavor = "multi_thread")]
async fn c1_no_build_that_serves_can_leave_its_plugins_out() {
    let seen = Postern::try_start(|c| c.variable("POSTERN_BENCH_HOOKS", "off")).await;
    let seen = seen.expect_err("it must not start");
    assert!(seen.stderr.contains("POSTERN_BENCH_HOOKS"), "{}", seen.stderr);

    let bytes = fs::read(program()).unwrap();
    let is_marked = bytes.windows(FEATURE.len()).any(|window| window == FEATURE.as_bytes());
    assert!(!is_marked, "{} was built with it", program().display());
}

#[test]
fn c1_nothing_enables_the_switch_by_which_plugins_are_left_out() {
    let manifest = |folder: &str| -> Table {
        fs::read_to_string(root().join(folder).join("Cargo.toml")).unwrap().parse().unwrap()
    };
    let workspace = manifest(".");
    let members = workspace["workspace"]["members"].as_array().unwrap();
    let members = members.iter().map(|member| member.as_str().unwrap());
    for member in members {
        let mut own = manifest(member);
        if member == "host/server" {
            let features = own["features"].as_table_mut().unwrap();
            assert!(features.remove(FEATURE).is_some(), "the feature has another name now");
        }
        // Neither a default, nor another feature, nor a dependency on the server with it.
        assert!(!own.to_string().contains(FEATURE), "{member} enables {FEATURE}");
    }
    assert!(!workspace.to_string().contains(FEATURE));
}
