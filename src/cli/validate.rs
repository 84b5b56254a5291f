//! `faas-iam validate`: every problem of the objects in files and directories.

use std::io::{Write, stdout};
use std::path::PathBuf;

use anyhow::Context;
use serde_json::{Value, json};

use super::{Exit, JudgingArgs, counted};
use crate::compile::{Bundle, Diagnostic, IssuerKeys, Severity, compile_with};
use crate::crd::Defaults;
use crate::source::files;
use crate::token::signer::SigningKeys;

/// Arguments of `validate`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Files and directories; they are checked together, as one set of policies
    #[arg(required = true, value_name = "DIR|FILE")]
    paths: Vec<PathBuf>,
    /// How to print the problems; `github` is for annotations by GitHub Actions
    #[arg(short, long, env = "FAAS_IAM_OUTPUT", value_enum, default_value_t)]
    output: Output,
    #[command(flatten)]
    judging: JudgingArgs,
}

/// How problems are printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    #[default]
    Text,
    Json,
    Github,
}

impl Args {
    pub(super) fn run(&self) -> anyhow::Result<Exit> {
        let mut bundle = Bundle::default();
        for path in &self.paths {
            let read = files::load(path, &Defaults::default());
            bundle.append(read.with_context(|| format!("{}: cannot be read", path.display()))?);
        }
        // Who signs makes no difference to what is valid.
        let own = SigningKeys::ephemeral()?.issuer("https://faas-iam.invalid");
        let (snapshot, diagnostics) =
            compile_with(&bundle, &IssuerKeys::new(), &own, self.judging.federation());
        let errors = diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Error).count();
        let counts = snapshot.counts;
        let summary = format!(
            "{}, {}, {}: {}, {}",
            counted(bundle.issuers.len(), "JwtIssuer", "JwtIssuers"),
            counted(counts.policies, "Policy", "Policies"),
            counted(counts.roles, "Role", "Roles"),
            counted(errors, "error", "errors"),
            counted(diagnostics.len() - errors, "warning", "warnings"),
        );
        let lines = |line: fn(&Diagnostic) -> String| -> String {
            let lines: Vec<_> = diagnostics.iter().map(line).chain([summary.clone()]).collect();
            lines.join("\n") + "\n"
        };
        let text = match self.output {
            Output::Text => lines(ToString::to_string),
            Output::Github => lines(annotation),
            Output::Json => {
                let diagnostics: Vec<_> = diagnostics.iter().map(to_json).collect();
                let (issuers, policies, roles) = (counts.issuers, counts.policies, counts.roles);
                let counts = json!({"issuers": issuers, "policies": policies, "roles": roles});
                format!("{:#}\n", json!({"diagnostics": diagnostics, "errors": errors, "objects": counts}))
            }
        };
        stdout().lock().write_all(text.as_bytes())?;
        Ok(if errors == 0 { Exit::Success } else { Exit::Invalid })
    }
}

/// File and line of where something stands; a file that cannot be read has no line.
fn place(diagnostic: &Diagnostic) -> (&str, Option<usize>) {
    let origin = &diagnostic.origin;
    match origin.rsplit_once(':').map(|(file, line)| (file, line.parse())) {
        Some((file, Ok(line))) => (file, Some(line)),
        _ => (origin, None),
    }
}

fn to_json(diagnostic: &Diagnostic) -> Value {
    let (file, line) = place(diagnostic);
    json!({
        "file": file,
        "line": line,
        "object": diagnostic.object.as_ref().map(ToString::to_string),
        "field": diagnostic.field,
        "severity": diagnostic.severity.to_string(),
        "code": diagnostic.code.as_str(),
        "message": diagnostic.message,
    })
}

/// A workflow command of GitHub Actions, which shows the problem at its line.
fn annotation(diagnostic: &Diagnostic) -> String {
    let ((file, line), text) = (place(diagnostic), diagnostic.to_string());
    let line = line.map(|line| format!(",line={line}")).unwrap_or_default();
    let data = |text: &str| text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    let property = |text: &str| data(text).replace(':', "%3A").replace(',', "%2C");
    let (severity, code) = (diagnostic.severity, diagnostic.code.as_str());
    format!("::{severity} file={}{line},title={code}::{}", property(file), data(&text))
}
