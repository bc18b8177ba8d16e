//! The cases of the default plugins, and that equal inputs give equal answers: from a fresh and from a warm
//! instance.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

use postern_guest::cases::{Case, Cases, run};
use support::{Bench, built};

const PLUGINS: [&str; 4] = ["classify-topic", "encrypt-on-demand", "login-table", "store-sql"];

fn cases(plugin: &str) -> Cases {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let file = format!("{root}/plugins/{plugin}/tests/cases.toml");
    toml::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap_or_else(|e| panic!("{file}: {e}"))
}

/// The policy's table of a plugin: all grants, and the config of the cases.
fn table(cases: &Cases) -> String {
    let mut table = toml::Table::new();
    let grants = postern_guest::GRANTABLE.iter().map(|name| toml::Value::from(*name)).collect::<Vec<_>>();
    table.insert("grants".to_owned(), grants.into());
    table.insert("config".to_owned(), cases.config.clone().into());
    toml::to_string(&table).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_default_plugins_answer_their_cases() {
    for name in PLUGINS {
        let (bench, cases) = (Bench::new().await, cases(name));
        let plugin = bench.load_file(&built(name), &table(&cases)).await.unwrap();
        for (case, ran) in cases.cases.iter().zip(run(&plugin, &cases.cases).await) {
            assert_eq!(ran.wrong, None, "{name}: {}: {:?}", case.name, ran.answer);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_inputs_give_equal_answers_from_fresh_and_warm_instances() {
    for name in ["classify-topic", "encrypt-on-demand"] {
        let (bench, cases) = (Bench::new().await, cases(name));
        let plugin = bench.load_file(&built(name), &table(&cases)).await.unwrap();
        // Thrice in a row on one instance, each once on an instance of its own.
        let thrice: Vec<Case> = cases.cases.iter().cycle().take(3 * cases.cases.len()).cloned().collect();
        let warm = run(&plugin, &thrice).await;
        for (n, case) in thrice.iter().enumerate() {
            let fresh = run(&plugin, std::slice::from_ref(case)).await;
            assert!(fresh[0].answer.is_some());
            assert_eq!(fresh[0].answer, warm[n].answer, "{name}: {}", case.name);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_case_is_said() {
    let (bench, cases) = (Bench::new().await, cases("classify-topic"));
    let plugin = bench.load_file(&built("classify-topic"), &table(&cases)).await.unwrap();
    let case = |text: &str| toml::from_str::<Case>(text).unwrap();
    for (text, told) in [
        ("call = 'classify'", "use INTERFACE.FUNCTION"),
        ("call = 'nothing.classify'", "no role has an interface `nothing`"),
        ("call = 'verify.login'", "has no postern:login/verify.login"),
        ("call = 'classify.classify'\n[input.fact]", "no argument `fact`; there are facts"),
        ("call = 'classify.classify'\n[input.facts]\ntopik = 'a'", "no field `topik`"),
        ("call = 'classify.classify'\n[input.facts]\nqos = 256", "facts.qos: 256 is no number that fits"),
        ("call = 'classify.classify'\n[input.facts]\nrelation = 'friend'", "one of same, internal"),
        ("call = 'classify.classify'\n[input.facts]\ntopic = 7", "facts.topic: 7 is not text"),
        ("call = 'classify.classify'", "facts: null is not a table"),
    ] {
        let ran = run(&plugin, &[case(text)]).await;
        assert!(ran[0].wrong.as_ref().unwrap().contains(told), "{text}: {:?}", ran[0]);
    }
}
