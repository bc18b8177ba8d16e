//! A test that cannot run here says so: nothing is skipped in silence.

use std::io::Write;

/// Records that the running test could not run, and why. `cargo xtask test` lists them at its end.
///
/// # Panics
/// Under `CI=true`, where a test that did not run is a failure.
pub fn not_run(reason: &str) {
    let thread = std::thread::current();
    let name = thread.name().unwrap_or("a test");
    assert!(std::env::var("CI").as_deref() != Ok("true"), "not run: {reason}");
    eprintln!("not run: {reason}");
    if let Some(list) = std::env::var_os("NOT_RUN_LIST") {
        let mut file =
            std::fs::File::options().append(true).create(true).open(list).expect("the list of tests not run");
        writeln!(file, "  {name}: {reason}").expect("the list of tests not run");
    }
}
