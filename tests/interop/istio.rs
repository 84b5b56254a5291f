//! Istio: `istioctl` and the types of istiod read the manifests for a mesh. No mesh runs here.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::support::api_server::kubectl;
use crate::support::envoy::root;
use crate::support::report::Report;
use crate::toolchain::{Built, Ended};

/// The name in the report.
pub(crate) const PART: &str = "istioctl";

/// Whether a program is for this part.
pub(crate) fn needs(program: &str) -> bool {
    matches!(program, "istioctl" | "meshconfig")
}

/// What stands in the manifests, what could stand there in its place, and what is said then.
const MISTAKES: [(&str, &str, &str); 5] = [
    ("action: CUSTOM", "action: CUSTOMS", "unknown value"),
    ("principals:", "principal:", "unknown field"),
    ("mode: STRICT", "mode: STRICTEST", "unknown value"),
    ("exact: /oauth/token", "exactly: /oauth/token", "unknown field"),
    ("number: 8080", "number: 80800", "port"),
];

/// The same for the configuration of the mesh.
const MESH_MISTAKES: [(&str, &str, &str); 3] = [
    ("failOpen:", "failOpne:", "unknown field"),
    ("DECODE_AND_MERGE_SLASHES", "DECODE", "invalid value for enum"),
    ("extensionProviders:", "extensionProvider:", "unknown field"),
];

/// Runs the part.
pub(crate) async fn run(report: &mut Report, built: &Built) {
    report.part(PART);
    let files = match tempfile::tempdir() {
        Ok(files) => files,
        Err(error) => return report.fail("a folder for its files", &error.into()),
    };
    let rendered = render();
    let check = "istioctl validates manifests/istio";
    report.count(check, objects(built, &rendered, files.path()).await);
    let check = "istiod's own type reads manifests/istio/mesh.yaml";
    report.count(check, mesh(built, files.path()).await);
}

fn render() -> Result<String> {
    let mut command = Command::new(kubectl()?);
    let output = command.args(["kustomize", "manifests/istio"]).current_dir(root()).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

async fn objects(built: &Built, rendered: &Result<String>, dir: &Path) -> Result<()> {
    let rendered = rendered.as_ref().map_err(|error| anyhow::anyhow!("{error:#}"))?;
    let file = dir.join("objects.yaml");
    let validate = async |text: &str| {
        fs::write(&file, text)?;
        built.run("istioctl", &["validate", "-f", &file.display().to_string()], &[]).await
    };
    sound(&validate(rendered).await?)?;
    for (from, to, says) in MISTAKES {
        refused(&validate(&mistaken(rendered, from, to)?).await?, says).with_context(|| to.to_owned())?;
    }
    Ok(())
}

async fn mesh(built: &Built, dir: &Path) -> Result<()> {
    let shipped = root().join("manifests/istio/mesh.yaml");
    sound(&built.run("istioctl", &["validate", "-f", &shipped.display().to_string()], &[]).await?)?;
    sound(&built.run("meshconfig", &[&shipped.display().to_string()], &[]).await?)?;
    let shipped = fs::read_to_string(shipped)?;
    let file = dir.join("mesh.yaml");
    for (from, to, says) in MESH_MISTAKES {
        fs::write(&file, mistaken(&shipped, from, to)?)?;
        let ended = built.run("meshconfig", &[&file.display().to_string()], &[]).await?;
        refused(&ended, says).with_context(|| to.to_owned())?;
    }
    Ok(())
}

fn mistaken(text: &str, from: &str, to: &str) -> Result<String> {
    ensure!(text.contains(from), "`{from}` does not stand there any more");
    Ok(text.replace(from, to))
}

fn sound(ended: &Ended) -> Result<()> {
    ensure!(ended.success, "{} {}", ended.stdout.trim(), ended.stderr.trim());
    Ok(())
}

fn refused(ended: &Ended, says: &str) -> Result<()> {
    let said = format!("{} {}", ended.stdout, ended.stderr);
    ensure!(!ended.success && said.contains(says), "{said}");
    Ok(())
}
