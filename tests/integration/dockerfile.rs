//! The image, as far as that goes without building it: its versions, and that all that the build reads
//! gets into it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use crate::support::envoy::root;

fn dockerfile() -> Result<String> {
    Ok(fs::read_to_string(root().join("Dockerfile"))?)
}

/// What is copied from the project.
fn copied() -> Result<BTreeSet<String>> {
    let text = dockerfile()?;
    let lines = text.lines().filter_map(|line| line.strip_prefix("COPY "));
    let own = lines.filter(|line| !line.starts_with("--from"));
    Ok(own.flat_map(|line| line.split(' ').rev().skip(1)).map(str::to_owned).collect())
}

/// Files below a folder, or the file itself.
fn files(path: &Path) -> Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(path)? {
        found.extend(files(&entry?.path())?);
    }
    Ok(found)
}

#[test]
fn what_is_copied_is_what_is_sent_to_the_builder() -> Result<()> {
    let ignored = fs::read_to_string(root().join(".dockerignore"))?;
    let sent = ignored.lines().filter_map(|line| line.strip_prefix('!')).map(str::to_owned).collect();
    assert_eq!(copied()?, sent);
    assert!(ignored.lines().any(|line| line == "*"), "everything else stays");
    Ok(())
}

#[test]
fn whatever_the_build_includes_is_copied() -> Result<()> {
    let copied: Vec<PathBuf> = copied()?.iter().map(|path| root().join(path)).collect();
    for file in copied.iter().map(|path| files(path)).collect::<Result<Vec<_>>>()?.concat() {
        if file.extension().is_none_or(|extension| extension != "rs") || file.ends_with("tests.rs") {
            continue;
        }
        let text = fs::read_to_string(&file)?;
        for word in ["include_str!(\"", "include_bytes!(\"", "include!(\"", "#[path = \""] {
            for included in text.split(word).skip(1).filter_map(|rest| rest.split('"').next()) {
                let place = file.parent().context("no folder")?.join(included);
                let place =
                    place.canonicalize().with_context(|| format!("{}: {included}", file.display()))?;
                let there = copied.iter().any(|path| place.starts_with(path));
                ensure!(there, "{} includes {included}, which the Dockerfile does not copy", file.display());
            }
        }
    }
    Ok(())
}

#[test]
fn versions_are_those_of_the_project() -> Result<()> {
    let text = dockerfile()?;
    let version = format!("org.opencontainers.image.version=\"{}\"", env!("CARGO_PKG_VERSION"));
    ensure!(text.contains(&version), "the image is labelled with another version");
    let rust = text.lines().find_map(|line| line.strip_prefix("ARG RUST_VERSION=")).context("no Rust")?;
    let number =
        |version: &str| -> Vec<u32> { version.split('.').filter_map(|part| part.parse().ok()).collect() };
    ensure!(number(rust) >= number(env!("CARGO_PKG_RUST_VERSION")), "Rust {rust} is too old");
    for line in text.lines().filter_map(|line| line.strip_prefix("FROM ")) {
        let image = line.split(' ').next().context("no image")?;
        let tag = image.split_once(':').context("an image without a tag")?.1;
        ensure!(!tag.is_empty() && tag != "latest", "{image}");
    }
    Ok(())
}

/// It is who the manifests say it is, and nothing asks for root afterwards.
#[test]
fn it_runs_as_the_user_of_the_manifests() -> Result<()> {
    let text = dockerfile()?;
    let user = text.lines().rev().find_map(|line| line.strip_prefix("USER ")).context("no user")?;
    let (user, group) = user.split_once(':').context("no group")?;
    let pod = fs::read_to_string(root().join("manifests/base/deployment.yaml"))?;
    for line in [format!("runAsUser: {user}\n"), format!("runAsGroup: {group}\n")] {
        ensure!(pod.contains(&line), "the pod does not say {line}");
    }
    Ok(())
}
