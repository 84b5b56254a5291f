//! `faas-iam check-envoy`: the settings of an Envoy that would open a hole.

use std::fs::File;
use std::io::{Read as _, Write, stdin, stdout};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};

use super::{Exit, Output};
use crate::envoy::{self, Review, Severity};
use crate::source::yaml;

/// The longest document that is read, in bytes: ten thousand routes take some ten MiB.
const LONGEST: u64 = 256 * 1024 * 1024;

/// Arguments of `check-envoy`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exits with 3 if a setting opens something, and with 0 if there are warnings at most.\n\n\
    Example:\n  curl -s http://127.0.0.1:9901/config_dump | faas-iam check-envoy -"
)]
pub(super) struct Args {
    /// A bootstrap file (YAML, JSON) or the answer of the admin interface on /config_dump; - is the
    /// standard input
    #[arg(value_name = "CONFIG_DUMP")]
    file: PathBuf,
    /// How the findings are written
    #[arg(short, long, env = "FAAS_IAM_OUTPUT", value_enum, default_value_t = Output::Text)]
    output: Output,
}

impl Args {
    pub(super) fn run(&self) -> anyhow::Result<Exit> {
        let name = self.file.display().to_string();
        let document = read(&self.file).with_context(|| name.clone())?;
        let review = envoy::review(&document).with_context(|| name)?;
        let of = |severity| review.findings.iter().filter(|finding| finding.severity == severity).count();
        let (errors, warnings) = (of(Severity::Error), of(Severity::Warning));
        let mut out = stdout().lock();
        match self.output {
            Output::Text => text(&mut out, &review, errors, warnings)?,
            Output::Json => writeln!(out, "{:#}", as_json(&review, errors, warnings))?,
        }
        Ok(if errors == 0 { Exit::Success } else { Exit::Invalid })
    }
}

fn text(out: &mut impl Write, review: &Review, errors: usize, warnings: usize) -> std::io::Result<()> {
    for finding in &review.findings {
        writeln!(out, "{finding}")?;
    }
    let Review { listeners, routes, .. } = review;
    writeln!(
        out,
        "listeners: {listeners}, routes past the decision: {routes}, errors: {errors}, warnings: {warnings}"
    )
}

fn as_json(review: &Review, errors: usize, warnings: usize) -> Value {
    let findings = review.findings.iter().map(|finding| {
        json!({
            "path": finding.path,
            "severity": finding.severity.as_str(),
            "code": finding.code,
            "message": finding.message,
        })
    });
    let findings: Vec<_> = findings.collect();
    json!({
        "listeners": review.listeners, "routes": review.routes,
        "errors": errors, "warnings": warnings, "findings": findings,
    })
}

/// JSON, or else YAML.
fn read(file: &Path) -> anyhow::Result<Value> {
    let mut bytes = Vec::new();
    let limit = LONGEST + 1;
    if file == Path::new("-") {
        stdin().lock().take(limit).read_to_end(&mut bytes)?;
    } else {
        File::open(file)?.take(limit).read_to_end(&mut bytes)?;
    }
    ensure!(
        u64::try_from(bytes.len()).unwrap_or(limit) < limit,
        "longer than 256 MiB: check one listener at a time, \
        such as /config_dump?resource=dynamic_listeners"
    );
    let text = String::from_utf8(bytes).context("not UTF-8")?;
    ensure!(!text.trim().is_empty(), "empty");
    if text.trim_start().starts_with('{') {
        return serde_json::from_str(&text).context("cannot be parsed as JSON");
    }
    match yaml::parse(&text) {
        Ok(value) => Ok(value),
        Err(error) => bail!("line {}: {}", error.line, error.message),
    }
}
