//! The image of the Containerfile in containers of podman's, on a base that debootstrap makes: no registry is asked.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command as Blocking, Output, Stdio};

use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};

use crate::postern::Log;
use crate::{PATIENCE, not_run, patiently, root};

/// The base of the image, beside its own name.
const BASE: &str = "localhost/postern-test-base";
/// The image.
const IMAGE: &str = "localhost/postern-test";

/// podman with images, containers and volumes of its own. All gone when dropped.
#[derive(Debug)]
pub struct Podman {
    folder: TempDir,
}

impl Podman {
    /// Makes one with a base to build on; None (and said so) where containers cannot be run.
    pub async fn start() -> Option<Self> {
        for (program, package) in [
            ("/usr/bin/podman", "podman"),
            ("/usr/bin/runc", "runc"),
            ("/usr/lib/cni/bridge", "containernetworking-plugins"),
            ("/usr/sbin/iptables", "iptables"),
            ("/usr/sbin/debootstrap", "debootstrap"),
        ] {
            if !Path::new(program).exists() {
                not_run(&format!("{program} is not installed (Debian package {package})"));
                return None;
            }
        }
        let podman = Podman { folder: TempDir::with_prefix("podman-").unwrap() };
        podman.configure();
        match podman.base().await {
            Ok(()) => Some(podman),
            Err(reason) => {
                not_run(&reason);
                None
            }
        }
    }

    /// Its folder, which containers may be given folders of.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn configure(&self) {
        let home = self.folder.path().display();
        let storage =
            format!("[storage]\ndriver = 'overlay'\ngraphroot = '{home}/store'\nrunroot = '{home}/run'\n");
        fs::write(self.folder.path().join("storage.conf"), storage).unwrap();
        // No systemd and no newer cgroups are asked for; open files and processes within what any machine allows.
        let engine = format!(
            "[engine]\nruntime = 'runc'\ncgroup_manager = 'cgroupfs'\nevents_logger = 'file'\n\
             static_dir = '{home}/libpod'\ntmp_dir = '{home}/tmp'\nvolume_path = '{home}/volumes'\n\
             [containers]\ndefault_ulimits = ['nofile=1024:1024', 'nproc=1024:1024']\n"
        );
        fs::write(self.folder.path().join("containers.conf"), engine).unwrap();
    }

    fn environment(&self) -> [(&'static str, PathBuf); 2] {
        let file = |name| self.folder.path().join(name);
        [("CONTAINERS_STORAGE_CONF", file("storage.conf")), ("CONTAINERS_CONF", file("containers.conf"))]
    }

    /// Takes the base in, and sees whether a container runs on it: whatever fails here is not Postern's.
    async fn base(&self) -> Result<(), String> {
        let tar = tokio::task::spawn_blocking(base).await.unwrap()?;
        let words = ["import", "--quiet", tar.to_str().unwrap(), BASE];
        let runs = ["run", "--rm", "--read-only", "--user", "10001:10001", BASE, "true"];
        for words in [&words[..], &runs[..]] {
            let output = self.podman(words, "").await;
            if !output.status.success() {
                let told = String::from_utf8_lossy(&output.stderr).trim().to_owned();
                return Err(format!("podman {} does not work here: {told}", words[0]));
            }
        }
        Ok(())
    }

    /// Builds the image by `cargo xtask image`, out of the programs that the tests run.
    pub async fn build(&self) {
        let programs = self.folder.path().join("programs");
        fs::create_dir(&programs).unwrap();
        let mut strip = Blocking::new("strip");
        done(strip.arg("-o").arg(programs.join("postern")).arg(crate::program()));
        std::os::unix::fs::symlink(root().join("target/plugins"), programs.join("plugins")).unwrap();
        fs::copy("/etc/ssl/certs/ca-certificates.crt", programs.join("ca-certificates.crt")).unwrap();
        let xtask = crate::program().with_file_name("xtask");
        let mut command = Command::new(xtask);
        command.args(["image", "--engine", "podman", "--tag", IMAGE, "--base", BASE, "--programs"]);
        command.arg(&programs).envs(self.environment()).env("CARGO_MANIFEST_DIR", root().join("host/xtask"));
        let output = command.stdin(Stdio::null()).kill_on_drop(true).output();
        // It copies and packs a few hundred megabytes.
        let output = tokio::time::timeout(4 * PATIENCE, output).await.expect("an image in time").unwrap();
        let told = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "xtask image: {told}{errors}");
        for wanted in ["Building with podman", "over its base", "podman exec postern postern plugin list"] {
            assert!(told.contains(wanted), "{wanted:?} is not in:\n{told}");
        }
    }

    /// What the image says of itself, by a template of podman's.
    pub async fn inspect(&self, what: &str, template: &str) -> String {
        self.done(&["inspect", "--format", template, what]).await.trim().to_owned()
    }

    /// The image's name.
    pub fn image(&self) -> &'static str {
        IMAGE
    }

    /// Runs the image as docs/operate/deploy.md says, beside `options`, and waits until it listens.
    pub async fn run<'a>(&'a self, name: &'static str, options: &[&str]) -> Container<'a> {
        let mut words = vec!["run", "--detach", "--name", name, "--read-only", "--read-only-tmpfs=false"];
        words.extend(["--cap-drop", "all", "--security-opt", "no-new-privileges"]);
        words.extend(options);
        words.push(IMAGE);
        self.done(&words).await;
        let mut follow = self.command(&["logs", "--follow", name]);
        let mut follower = follow.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (lines, log) = (Log::default(), Log::default());
        lines.follow(follower.stdout.take().unwrap());
        log.follow(follower.stderr.take().unwrap());
        let container = Container { podman: self, name, log, _follower: follower };
        patiently("a line `listening health …`", lines.find("listening health", 1)).await;
        container
    }

    /// Runs podman, which must succeed, and gives its stdout.
    pub async fn done(&self, words: &[&str]) -> String {
        let output = self.podman(words, "").await;
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "podman {words:?}: {errors}");
        String::from_utf8(output.stdout).unwrap()
    }

    async fn podman(&self, words: &[&str], input: &str) -> Output {
        let mut command = self.command(words);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("podman starts");
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input.as_bytes()).await.ok();
        drop(stdin);
        patiently(&format!("podman {}", words.join(" ")), child.wait_with_output()).await.unwrap()
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("podman");
        command.args(words).envs(self.environment()).stdin(Stdio::null()).kill_on_drop(true);
        command
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        let mut remove = Blocking::new("podman");
        remove.args(["rm", "--all", "--force", "--time", "0"]).envs(self.environment());
        remove.output().ok();
        Blocking::new("umount").arg(self.folder.path().join("store/overlay")).output().ok();
    }
}

/// A container of the image.
#[derive(Debug)]
pub struct Container<'a> {
    podman: &'a Podman,
    name: &'static str,
    log: Log,
    _follower: Child,
}

impl Container<'_> {
    /// Runs a verb inside, as an operator does: `podman exec NAME postern VERB`, without options.
    pub async fn cli(&self, words: &[&str], input: &str) -> Output {
        let mut line = vec!["exec", "--interactive", self.name, "postern"];
        line.extend(words);
        self.podman.podman(&line, input).await
    }

    /// The same for a verb that must succeed; gives its stdout.
    pub async fn done(&self, words: &[&str], input: &str) -> String {
        let output = self.cli(words, input).await;
        assert!(output.status.success(), "postern {words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Where a port of the container's is reached from outside.
    pub async fn address(&self, port: u16) -> String {
        let told = self.podman.done(&["port", self.name, &port.to_string()]).await;
        told.lines().next().expect("a published port").to_owned()
    }

    /// The certificate that clients are to trust, PEM.
    pub async fn ca(&self) -> Vec<u8> {
        let to = self.podman.folder().join(format!("{}-ca.pem", self.name));
        let from = format!("{}:/var/lib/postern/development-ca.pem", self.name);
        self.podman.done(&["cp", &from, to.to_str().unwrap()]).await;
        fs::read(to).unwrap()
    }

    /// Whether the image's HEALTHCHECK finds it well.
    pub async fn is_healthy(&self) -> bool {
        self.podman.podman(&["healthcheck", "run", self.name], "").await.status.success()
    }

    /// `podman stop`, that is SIGTERM; gives the exit code.
    pub async fn stop(&self) -> String {
        self.podman.done(&["stop", "--time", "25", self.name]).await;
        self.podman.inspect(self.name, "{{.State.ExitCode}}").await
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- log of the container {} ---\n{}---", self.name, self.log.text());
        }
    }
}

/// The smallest Debian as a tar file, made once.
fn base() -> Result<PathBuf, String> {
    let cache = root().join("target/test-cache");
    fs::create_dir_all(&cache).unwrap();
    let tar = cache.join("bookworm.tar");
    if tar.exists() {
        return Ok(tar);
    }
    let work = TempDir::with_prefix_in("bookworm-", &cache).unwrap();
    let (home, new) = (work.path().join("root"), work.path().join("tar"));
    let mut debootstrap = Blocking::new("debootstrap");
    debootstrap.args(["--variant=minbase", "bookworm"]).arg(&home);
    let mut pack = Blocking::new("tar");
    pack.args(["--exclude=./var/cache", "--exclude=./var/lib/apt", "--exclude=./usr/share/doc"]);
    pack.args(["--exclude=./usr/share/locale", "--exclude=./usr/share/man", "--exclude=./dev", "-C"]);
    pack.arg(&home).arg("-cf").arg(&new).arg(".");
    for command in [&mut debootstrap, &mut pack] {
        let output = command.output().map_err(|e| format!("{command:?}: {e}"))?;
        if !output.status.success() {
            let told = [output.stdout, output.stderr].concat();
            let told = String::from_utf8_lossy(&told);
            return Err(format!(
                "no base for the image: {}",
                told.trim().lines().next_back().unwrap_or_default()
            ));
        }
    }
    fs::rename(&new, &tar).unwrap();
    Ok(tar)
}

fn done(command: &mut Blocking) {
    let output = command.output().expect("it starts");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
