//! What loads and what does not (C3, C4), and the cache of compiled plugins.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // helpers of tests

mod support;

use postern_guest::{Reason, Role};
use support::{Bench, OK, Text, UNFIT};

async fn reasons(bench: &Bench, text: &str, policy: &str) -> Vec<Reason> {
    bench.load(text, policy).await.unwrap_err().reasons
}

#[tokio::test]
async fn c3_a_sound_component_loads() {
    let bench = Bench::new().await;
    let plugin = bench.load(&Text::default().component(), "grants = ['log']").await.unwrap();
    assert_eq!((plugin.name(), plugin.version(), plugin.generation()), ("sample", "1.0.0", 1));
    assert_eq!(plugin.roles().iter().copied().collect::<Vec<_>>(), [Role::Classify]);
    assert!(plugin.granted().contains("log") && plugin.used().is_empty());
    let again = bench.load(&Text::default().component(), "").await.unwrap();
    assert_eq!(again.generation(), 2);
    assert_eq!(again.digest(), plugin.digest());
}

#[tokio::test]
async fn c3_files_that_are_no_components_are_told_apart() {
    let bench = Bench::new().await;
    let component = wat::parse_str(Text::default().component()).unwrap();
    let cases = [
        (bench.folder.path().join("none.wasm"), Reason::Missing),
        (bench.file("empty.wasm", b""), Reason::Empty),
        (bench.file("text.wasm", b"not wasm at all"), Reason::NotWasm),
        (bench.file("core.wasm", wat::parse_str("(module)").unwrap()), Reason::CoreModule),
        (bench.file("cut.wasm", &component[..component.len() - 9]), Reason::CutShort),
    ];
    for (path, reason) in cases {
        let error = bench.load_file(&path, "").await.unwrap_err();
        assert_eq!(error.reasons, [reason]);
        let line = error.to_string();
        assert!(line.contains(path.to_str().unwrap()) && !line.contains('\n'), "{line}");
    }
    let huge = bench.folder.path().join("huge.wasm");
    std::fs::File::create(&huge).unwrap().set_len(2 << 30).unwrap();
    assert_eq!(bench.load_file(&huge, "").await.unwrap_err().reasons, [Reason::TooLarge { mib: 2048 }]);
    let folder = bench.load_file(bench.folder.path(), "").await.unwrap_err().reasons;
    assert!(matches!(folder[..], [Reason::Unreadable(_)]), "{folder:?}");

    let unknown_section = bench.file("bad.wasm", b"\0asm\x0d\0\x01\0\x7f\0");
    let invalid = bench.load_file(&unknown_section, "").await.unwrap_err().reasons;
    assert!(matches!(invalid[..], [Reason::Invalid(_)]), "{invalid:?}");
}

#[tokio::test]
async fn c4_imports_need_a_grant_and_foreign_ones_never_get_one() {
    let bench = Bench::new().await;
    let text = Text {
        imports: &[("postern:host/clock@0.1.0", "x"), ("postern:host/random@0.1.0", "x")],
        ..Text::default()
    };
    let said = reasons(&bench, &text.component(), "grants = ['clock']").await;
    assert_eq!(said, [Reason::NotGranted { interface: "random".into() }]);
    // Granted, but of a shape that the host does not have: refused before any code of it runs.
    let said = reasons(&bench, &text.component(), "grants = ['clock', 'random']").await;
    assert!(matches!(said[..], [Reason::Shape(_)]), "{said:?}");

    let text = Text {
        imports: &[("wasi:filesystem/types@0.2.0", "x"), ("postern:host/files@0.1.0", "x")],
        ..Text::default()
    };
    let said = reasons(&bench, &text.component(), "grants = ['log']").await;
    let foreign = Reason::Foreign { import: "wasi:filesystem/types@0.2.0".into() };
    let unknown = Reason::UnknownInterface { import: "postern:host/files@0.1.0".into() };
    assert_eq!(said, [foreign, unknown], "every reason at once");
}

#[tokio::test]
async fn c3_versions_and_shapes_are_checked() {
    let bench = Bench::new().await;
    bench.load(&Text { version: "0.1.7", ..Text::default() }.component(), "").await.unwrap();
    let said = reasons(&bench, &Text { version: "0.2.0", ..Text::default() }.component(), "").await;
    assert_eq!(said, [Reason::Version { interface: "postern:classify/classify@0.2.0".into() }]);
    let other = Text { class: r#"(enum "notification" "other")"#, ..Text::default() };
    let said = reasons(&bench, &other.component(), "").await;
    assert!(matches!(&said[..], [Reason::Shape(text)] if text.contains("classify")), "{said:?}");
}

#[tokio::test]
async fn c3_a_candidate_that_finds_itself_unfit_does_not_load() {
    let bench = Bench::new().await;
    let said = reasons(&bench, &Text { prepare: UNFIT, ..Text::default() }.component(), "").await;
    assert_eq!(said, [Reason::Prepare("unfit".into())]);
    let said = reasons(&bench, &Text { self_check: UNFIT, ..Text::default() }.component(), "").await;
    assert_eq!(said, [Reason::SelfCheck("unfit".into())]);
    let said = reasons(&bench, &Text { self_check: "unreachable", ..Text::default() }.component(), "").await;
    assert!(matches!(&said[..], [Reason::SelfCheck(text)] if text.contains("trapped")), "{said:?}");
    let said =
        reasons(&bench, &Text { name: "No Name", prepare: OK, ..Text::default() }.component(), "").await;
    assert!(matches!(said[..], [Reason::Name(_)]), "{said:?}");
}

#[tokio::test]
async fn c3_a_wrong_policy_is_named() {
    let bench = Bench::new().await;
    let text = Text::default().component();
    let said = reasons(&bench, &text, "grants = ['logg']\n[limits]\nmemory_mib = 0").await;
    assert_eq!(said[0], Reason::UnknownGrant { grant: "logg".into() });
    assert!(matches!(&said[1], Reason::Limits(text) if text.contains("memory_mib")), "{said:?}");
}

#[tokio::test]
async fn compiled_plugins_are_reused_and_forged_ones_are_not() {
    let bench = Bench::new().await;
    let text = Text::default().component();
    bench.load(&text, "").await.unwrap();
    let [file] = &bench.cached()[..] else { panic!("{:?}", bench.cached()) };
    let written = std::fs::metadata(file).unwrap().modified().unwrap();
    let good = std::fs::read(file).unwrap();

    // After a restart it is taken from the cache: the file is not written anew.
    let path = bench.folder.path().join("plugin.wasm");
    let restarted = Bench::runtime(bench.folder.path(), &bench.database, 7);
    restarted.load(&path, &|_| Default::default()).await.unwrap();
    assert_eq!(std::fs::metadata(file).unwrap().modified().unwrap(), written);

    // Somebody puts other native code there: it does not run, and is replaced.
    let mut forged = good.clone();
    let at = forged.len() / 2;
    forged[at] ^= 0xff;
    std::fs::write(file, &forged).unwrap();
    bench.load(&text, "").await.unwrap();
    assert_ne!(std::fs::read(file).unwrap(), forged);

    // Under another master key the very same file is a stranger's.
    let before = std::fs::read(file).unwrap();
    let other = Bench::runtime(bench.folder.path(), &bench.database, 8);
    other.load(&path, &|_| Default::default()).await.unwrap();
    assert_ne!(std::fs::read(file).unwrap(), before);
}
