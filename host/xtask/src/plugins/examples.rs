//! The components of examples/plugins, in four languages, into target/plugins-examples. What a language's
//! tools need is fetched into target/plugin-tools, pinned by the example's own files.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use anyhow::{Context, Result};

use super::{build_packages, environment, publish};
use crate::{setup, sh};

/// Where the components go, below target/.
const OUT: &str = "plugins-examples";
/// The same version as the plugins in Rust have of it.
const WIT_BINDGEN: &str = "0.61.1";

/// Builds all examples, or tells the first that does not build.
pub(crate) fn build_all(root: &Path) -> Result<Vec<PathBuf>> {
    each(root)
        .into_iter()
        .flat_map(|built| built.map_or_else(|e| vec![Err(e)], |b| b.into_iter().map(Ok).collect()))
        .collect()
}

/// Builds what can be built here. A language whose tools cannot be had is named; the tests that need its
/// example tell that they did not run.
pub(crate) fn build_what_can_be(root: &Path) {
    for built in each(root) {
        if let Err(error) = built {
            eprintln!("examples/plugins: {error:#}");
        }
    }
}

fn each(root: &Path) -> [Result<Vec<PathBuf>>; 4] {
    [
        rust(root).context("Rust"),
        one(root, "c", "alarm-c", c).context("C"),
        one(root, "js", "alarm-js", js).context("JavaScript"),
        one(root, "python", "alarm-python", python).context("Python"),
    ]
}

/// Builds those in Rust, which need no more than the default plugins do.
///
/// # Errors
/// When one does not build.
pub(crate) fn build_rust(root: &Path) -> Result<Vec<PathBuf>> {
    rust(root)
}

fn rust(root: &Path) -> Result<Vec<PathBuf>> {
    build_packages(root, "examples/plugins", root, OUT, &environment(root)?)
}

/// Builds one example by `make`, unless its component is newer than all that it is made of: an engine that
/// is put into a component takes half a minute.
fn one(
    root: &Path,
    folder: &str,
    name: &str,
    make: fn(&Path, &Path, &Path) -> Result<()>,
) -> Result<Vec<PathBuf>> {
    let folder = root.join("examples/plugins").join(folder);
    let out = root.join("target").join(OUT).join(format!("{name}.wasm"));
    let made = fs::metadata(&out).and_then(|file| file.modified()).ok();
    if made < newest(&folder)? {
        let new = out.with_extension("made");
        fs::create_dir_all(root.join("target").join(OUT))?;
        make(root, &folder, &new)?;
        publish(&new, &out)?;
        fs::remove_file(&new)?;
        fs::File::options().append(true).open(&out)?.set_modified(SystemTime::now())?;
    }
    Ok(vec![out])
}

/// When a file below a folder was changed last. The WIT is behind links.
fn newest(folder: &Path) -> Result<Option<SystemTime>> {
    let mut newest = None;
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        let about = fs::metadata(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let is_no_source =
            ["node_modules", "__pycache__", ".venv", "README.md"].iter().any(|n| path.ends_with(n));
        let changed = match about.is_dir() {
            _ if is_no_source => None,
            true => self::newest(&path)?,
            false => Some(about.modified()?),
        };
        newest = newest.max(changed);
    }
    Ok(newest)
}

fn tools(root: &Path, language: &str) -> Result<PathBuf> {
    let home = root.join("target/plugin-tools").join(language);
    fs::create_dir_all(&home).with_context(|| format!("cannot make {}", home.display()))?;
    Ok(home)
}

/// Debian's clang, linker and C library; bindings by wit-bindgen.
fn c(root: &Path, folder: &Path, out: &Path) -> Result<()> {
    setup::for_c_plugins();
    let home = tools(root, "wit-bindgen")?;
    if !setup::is_stamped(&home, WIT_BINDGEN) {
        // Its binary is small and quick enough without optimisation, which takes most of the time.
        let mut cargo = sh::cargo();
        cargo.args(["install", "--quiet", "--locked", "--debug", "--force", "--version", WIT_BINDGEN]);
        cargo.args(["--no-default-features", "--features", "c", "wit-bindgen-cli", "--root"]).arg(&home);
        cargo.env("CARGO_PROFILE_DEV_DEBUG", "false"); // 150 MB of it
        sh::run("cargo install wit-bindgen-cli", &mut cargo)?;
        setup::stamp(&home, WIT_BINDGEN)?;
    }
    let mut build = Command::new("./build.sh");
    build.arg(out).current_dir(folder).env("WIT_BINDGEN", home.join("bin/wit-bindgen"));
    sh::run("examples/plugins/c", &mut build)
}

/// componentize-js, as the lock file has it.
fn js(root: &Path, folder: &Path, out: &Path) -> Result<()> {
    let home = tools(root, "js")?;
    let lock = fs::read_to_string(folder.join("package-lock.json")).context("package-lock.json")?;
    // Node looks for packages beside the script that imports them.
    for file in ["package.json", "package-lock.json", "build.mjs"] {
        fs::copy(folder.join(file), home.join(file)).context(file)?;
    }
    if !setup::is_stamped(&home, &lock) {
        println!("Fetching componentize-js from npm (210 MB on disk) into target/plugin-tools/js");
        let mut npm = Command::new("npm");
        npm.args(["ci", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"]).current_dir(&home);
        sh::run("npm ci", &mut npm)?;
        setup::stamp(&home, &lock)?;
    }
    let mut node = Command::new("node");
    sh::run("examples/plugins/js", node.arg(home.join("build.mjs")).arg(out).current_dir(folder))
}

/// componentize-py, as requirements.txt has it.
fn python(root: &Path, folder: &Path, out: &Path) -> Result<()> {
    let home = tools(root, "python")?;
    setup::venv(&home, &folder.join("requirements.txt"))?;
    let mut command = Command::new(home.join("bin/componentize-py"));
    command.args(["-d", "wit", "-w", "classify-plugin", "componentize", "--stub-wasi", "alarm", "-o"]);
    sh::run("examples/plugins/python", command.arg(out).current_dir(folder))
}
