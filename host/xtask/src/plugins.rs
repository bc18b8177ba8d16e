//! `cargo xtask plugins`: the components of plugins/ into target/plugins, and on demand the guests
//! that misbehave (tests/guests) into target/test-guests, and the examples (plugins/examples.rs).
//!
//! Cargo decides what is rebuilt. Guests have a target folder of their own, because their compiler
//! may be another than the host's (wasm-toolchain.sh).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::sh;

pub(crate) mod examples;

const TARGET: &str = "wasm32-unknown-unknown";
/// `\0asm`, then version 13 and layer 1: a component, no core module.
const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

/// Builds all components and tells where they are.
///
/// # Errors
/// When the toolchain cannot be set up, a guest does not build, or what came out is no component.
pub(crate) fn build_all(root: &Path, with_test_guests: bool) -> Result<Vec<PathBuf>> {
    let environment = environment(root)?;
    let mut built = build_packages(root, "plugins", root, "plugins", &environment)?;
    if with_test_guests {
        let folder = "tests/guests";
        built.extend(build_packages(root, folder, &root.join(folder), "test-guests", &environment)?);
    }
    Ok(built)
}

/// The names of the default plugins.
///
/// # Errors
/// When the folder cannot be read.
pub(crate) fn names(root: &Path) -> Result<Vec<String>> {
    packages(&root.join("plugins"))
}

/// What the compiler of the guests needs in its environment, once it is there.
fn environment(root: &Path) -> Result<String> {
    let script = root.join("host/xtask/wasm-toolchain.sh");
    sh::run("the toolchain for WASM", Command::new("bash").arg(&script).arg("ensure"))?;
    sh::output(Command::new("bash").arg(&script).arg("env"))
}

/// Builds the packages below `folder`, members of the workspace at `workspace`, in one go.
fn build_packages(
    root: &Path,
    folder: &str,
    workspace: &Path,
    out: &str,
    environment: &str,
) -> Result<Vec<PathBuf>> {
    let names = packages(&root.join(folder))?;
    let target = root.join("target/guest");
    let mut cargo = sh::cargo();
    cargo.current_dir(workspace).args([
        "build",
        "--quiet",
        "--locked",
        "--profile",
        "guest",
        "--target",
        TARGET,
    ]);
    cargo.arg("--target-dir").arg(&target);
    for name in &names {
        cargo.args(["--package", name]);
    }
    // Flags meant for the host's compiler do not fit this one.
    for variable in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "RUSTC_WRAPPER", "CARGO_BUILD_TARGET"] {
        cargo.env_remove(variable);
    }
    cargo.envs(environment.lines().filter_map(|line| line.split_once('=')));
    sh::run(&format!("components of {folder}"), &mut cargo)?;

    let out = root.join("target").join(out);
    fs::create_dir_all(&out).with_context(|| format!("cannot make {}", out.display()))?;
    let from = target.join(TARGET).join("guest");
    names
        .iter()
        .map(|name| {
            let to = out.join(format!("{name}.wasm"));
            publish(&from.join(format!("{}.wasm", name.replace('-', "_"))), &to)?;
            Ok(to)
        })
        .collect()
}

/// The packages below a folder that build to components.
fn packages(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let entry = entry?;
        let path = entry.path();
        if path.join("Cargo.toml").is_file() {
            names.extend(component(&path)?);
        }
    }
    names.sort();
    Ok(names)
}

/// The package's name, if it builds to a component and is no library that others share.
fn component(package: &Path) -> Result<Option<String>> {
    let manifest = package.join("Cargo.toml");
    let text =
        fs::read_to_string(&manifest).with_context(|| format!("cannot read {}", manifest.display()))?;
    let name = text.lines().find_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'));
    Ok(name.filter(|_| text.contains("cdylib")).map(str::to_owned))
}

/// Puts a component in its place in one step, so that a server that is told to activate it never
/// reads half of one; and only when it is another one.
fn publish(from: &Path, to: &Path) -> Result<()> {
    let bytes = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
    if !bytes.starts_with(COMPONENT) {
        bail!("{} is not a component", from.display());
    }
    if fs::read(to).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    let new = to.with_extension(format!("{}.new", std::process::id()));
    fs::write(&new, bytes).with_context(|| format!("cannot write {}", new.display()))?;
    fs::rename(&new, to).with_context(|| format!("cannot write {}", to.display()))
}
