//! The Go toolchain, and what it builds.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::process::Command;

use crate::support::envoy::root;
use crate::support::report::Report;

/// How long one program may take to be fetched and built.
const BUILD_WITHIN: Duration = Duration::from_secs(1800);

/// How long a program that ends by itself may run.
const RUN_WITHIN: Duration = Duration::from_secs(120);

/// The version of `faas-cli` that is built, which it does not know by itself.
pub(crate) const FAAS_CLI_VERSION: &str = "0.13.14";

/// What is built: the program, its module's folder beside this file, and its package.
const PROGRAMS: [(&str, &str, &str); 10] = [
    ("dex", "go", "./dex"),
    ("signin", "go", "./signin"),
    ("verify", "go", "./verify"),
    ("sdk", "go", "./sdk"),
    ("watchdog", "go", "./watchdog"),
    ("oracle", "go", "./oracle"),
    ("rig", "go", "./rig"),
    ("faas-cli", "faas-cli", "github.com/openfaas/faas-cli"),
    ("istioctl", "istio", "istio.io/istio/istioctl/cmd/istioctl"),
    ("meshconfig", "istio", "./meshconfig"),
];

/// The `go` command.
#[derive(Debug)]
pub(crate) struct Toolchain {
    go: OsString,
}

/// The programs that could be built.
#[derive(Debug)]
pub(crate) struct Built {
    programs: BTreeMap<&'static str, PathBuf>,
}

/// How a program ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Whether with success.
    pub(crate) success: bool,
    /// What it printed.
    pub(crate) stdout: String,
    /// What it complained of.
    pub(crate) stderr: String,
}

// === impl Toolchain ===

impl Toolchain {
    /// The one in `GO`, which the Makefile sets.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) fn find() -> Result<Self, String> {
        let missing = || {
            "there is no Go that is new enough, and none could be installed; install Go 1.26, or set GO to it"
                .to_owned()
        };
        let go = std::env::var_os("GO").filter(|go| !go.is_empty()).ok_or_else(missing)?;
        Ok(Self { go })
    }

    /// Builds every program that is wanted, each for itself, and counts those that cannot be built as
    /// failures.
    pub(crate) async fn build(&self, report: &mut Report, wanted: fn(&str) -> bool) -> Result<Built> {
        report.part("go build");
        let folder = root().join(".tools/interop");
        std::fs::create_dir_all(&folder)?;
        let mut programs = BTreeMap::new();
        for (name, module, package) in PROGRAMS.into_iter().filter(|(name, ..)| wanted(name)) {
            let to = folder.join(name);
            let module = root().join("tests/interop").join(module);
            let build = self.build_one(&module, package, &to);
            if report.step(name, build).await.is_some() {
                programs.insert(name, to);
            }
        }
        Ok(Built { programs })
    }

    async fn build_one(&self, module: &Path, package: &str, to: &Path) -> Result<()> {
        let linker = format!("-s -w -X github.com/openfaas/faas-cli/version.Version={FAAS_CLI_VERSION}");
        let mut command = Command::new(&self.go);
        command
            .current_dir(module)
            .args(["build", "-mod=readonly", "-buildvcs=false", "-trimpath", "-ldflags", &linker, "-o"])
            .args([to.as_os_str(), package.as_ref()])
            .envs([("CGO_ENABLED", "0"), ("GOTOOLCHAIN", "local"), ("GOWORK", "off")]);
        let ended = run_to_end(command, BUILD_WITHIN).await?;
        if !ended.success {
            bail!("{}", ended.stderr.trim());
        }
        Ok(())
    }
}

// === impl Built ===

impl Built {
    /// Where a program is.
    pub(crate) fn program(&self, name: &str) -> Result<&Path> {
        let path = self.programs.get(name).with_context(|| format!("{name} was not built"))?;
        Ok(path)
    }

    /// Runs a program to its end. Secrets go by the environment, so that no list of processes shows
    /// them.
    pub(crate) async fn run(&self, name: &str, args: &[&str], env: &[(&str, &str)]) -> Result<Ended> {
        let mut command = Command::new(self.program(name)?);
        command.args(args).env_remove("CI").envs(env.iter().copied());
        run_to_end(command, RUN_WITHIN).await.with_context(|| name.to_owned())
    }

    /// The same for one that prints a line; an error if it fails.
    pub(crate) async fn line_of(&self, name: &str, args: &[&str], env: &[(&str, &str)]) -> Result<String> {
        let ended = self.run(name, args, env).await?;
        if !ended.success {
            bail!("{name} failed: {}", ended.stderr.trim());
        }
        Ok(ended.stdout.trim().to_owned())
    }
}

async fn run_to_end(mut command: Command, limit: Duration) -> Result<Ended> {
    let running = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let output = tokio::time::timeout(limit, running)
        .await
        .with_context(|| format!("it did not end within {limit:?}"))?
        .context("it cannot be started")?;
    Ok(Ended {
        success: output.status.success(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}
