//! `cargo xtask image`: the container image, with whichever engine is here.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail};

use crate::sh;

/// What the image is made of.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Name of the image
    #[arg(long, default_value = "postern")]
    tag: String,
    /// What to build with, in place of the first that is here
    #[arg(long, value_enum)]
    engine: Option<Engine>,
    /// Image to build in, in place of the one that the Containerfile names
    #[arg(long, value_name = "IMAGE")]
    builder: Option<String>,
    /// Image to build on, in place of the one that the Containerfile names
    #[arg(long, value_name = "IMAGE")]
    base: Option<String>,
    /// Take `postern`, `plugins/*.wasm` and `ca-certificates.crt` from here, and build nothing
    #[arg(long, value_name = "FOLDER", conflicts_with = "builder")]
    programs: Option<PathBuf>,
}

/// What builds images.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Engine {
    Docker,
    Podman,
    Buildah,
}

/// Builds, and tells with what, how large it is and how it is run.
pub(crate) fn run(root: &Path, options: &Options) -> Result<ExitCode> {
    let engine = options.engine.map_or_else(Engine::find, Ok)?;
    println!("Building with {}", engine.name());
    let mut build = Command::new(engine.name());
    build.current_dir(root).args(["build", "--file", "Containerfile", "--tag", &options.tag]);
    let time = commit_time(root);
    if engine == Engine::Docker {
        build.env("DOCKER_BUILDKIT", "1").env("SOURCE_DATE_EPOCH", &time);
    } else {
        // OCI's own format has no HEALTHCHECK.
        build.args(["--format", "docker", "--timestamp", &time]);
    }
    for (name, image) in [("BUILDER", &options.builder), ("BASE", &options.base)] {
        if let Some(image) = image {
            build.arg("--build-arg").arg(format!("{name}={image}"));
        }
    }
    let staged = options.programs.as_ref().map(|folder| stage(root, folder)).transpose()?;
    if let Some(staged) = &staged {
        build.arg("--build-context").arg(format!("programs={}", staged.display()));
    }
    let built = sh::run("the image", build.arg("."));
    if let Some(staged) = &staged {
        fs::remove_dir_all(staged).with_context(|| format!("cannot remove {}", staged.display()))?;
    }
    built?;
    println!("{}", engine.told(&options.tag, options.base.as_deref()));
    Ok(ExitCode::SUCCESS)
}

/// The time of the last commit, which files and image get: two builds of one commit are the same.
fn commit_time(root: &Path) -> String {
    let mut git = Command::new("git");
    git.current_dir(root).args(["log", "-1", "--format=%ct"]).stderr(Stdio::null());
    git.output().ok().filter(|output| output.status.success()).map_or_else(
        || "0".to_owned(), // sources without history
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    )
}

/// What is already built, as the Containerfile's stage `programs` has it.
fn stage(root: &Path, from: &Path) -> Result<PathBuf> {
    let to = root.join("target/image");
    if to.exists() {
        fs::remove_dir_all(&to).with_context(|| format!("cannot empty {}", to.display()))?;
    }
    fs::create_dir_all(to.join("empty")).with_context(|| format!("cannot make {}", to.display()))?;
    let mut copy = Command::new("cp");
    let wanted = ["postern", "plugins", "ca-certificates.crt"].map(|name| from.join(name));
    if let Some(missing) = wanted.iter().find(|path| !path.exists()) {
        bail!("{} is missing", missing.display());
    }
    sh::run("copy of what is built", copy.arg("-rL").args(&wanted).arg(&to))?;
    Ok(to)
}

impl Engine {
    /// The first of docker, podman and buildah that can build here.
    fn find() -> Result<Engine> {
        if Engine::Docker.is_there() {
            // The command is often there without the engine behind it.
            let mut asked = Command::new("docker");
            asked.args(["version", "--format", "{{.Server.Version}}"]);
            let asked = asked.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
            if asked.is_ok_and(|status| status.success()) {
                return Ok(Engine::Docker);
            }
            println!("docker is here, but no Docker engine answers it");
        }
        let others = [Engine::Podman, Engine::Buildah];
        let found = others.into_iter().find(|engine| engine.is_there());
        found.context("neither docker, podman nor buildah is here (Debian packages podman, buildah)")
    }

    fn name(self) -> &'static str {
        match self {
            Engine::Docker => "docker",
            Engine::Podman => "podman",
            Engine::Buildah => "buildah",
        }
    }

    fn is_there(self) -> bool {
        sh::has(self.name())
    }

    /// How large the image is, and how it is run.
    fn told(self, tag: &str, base: Option<&str>) -> String {
        let engine = self.name();
        if self == Engine::Buildah {
            let mut list = Command::new("buildah");
            let size = sh::output(list.args(["images", "--format", "{{.Size}}", tag])).unwrap_or_default();
            return format!("\n{tag}: {size}\n\nbuildah does not run it: use podman or an orchestrator.");
        }
        let size = |image: &str| {
            let mut inspect = Command::new(engine);
            inspect.args(["image", "inspect", "--format", "{{.Size}}", image]).stderr(Stdio::null());
            sh::output(&mut inspect).ok()?.parse::<u64>().ok()
        };
        let whole = size(tag).unwrap_or_default();
        let over =
            base.and_then(size).map(|base| format!(", {} over its base", mb(whole.saturating_sub(base))));
        format!(
            "\n{tag}: {}{}\n\n{}",
            mb(whole),
            over.unwrap_or_default(),
            RUN.replace("ENGINE", engine).replace("TAG", tag)
        )
    }
}

const RUN: &str = "Run it, and look at it (docs/operate/deploy.md has the rest):
    ENGINE run --detach --name postern --read-only --tmpfs /tmp --cap-drop all --stop-timeout 30 \\
      -e POSTERN_ADVERTISE__HOST=$(hostname) -p 1883:1883 -p 8883:8883 -p 8084:8084 -p 8443:8443 \\
      -p 127.0.0.1:8080:8080 \\
      -v postern-data:/var/lib/postern -v postern-plugins:/var/lib/postern-plugins TAG
    ENGINE exec postern postern plugin list";

fn mb(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}
