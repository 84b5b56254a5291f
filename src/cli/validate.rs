//! `faas-iam validate`: every problem of the objects in files and directories.

use std::io::{Write, stdout};
use std::path::PathBuf;

use anyhow::Context;

use super::{Exit, JudgingArgs, counted};
use crate::compile::{Bundle, IssuerKeys, Severity, compile_with};
use crate::crd::Defaults;
use crate::source::files;
use crate::token::signer::SigningKeys;

/// Arguments of `validate`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Files and directories; they are checked together, as one set of policies
    #[arg(required = true, value_name = "DIR|FILE")]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    judging: JudgingArgs,
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
        let mut out = stdout().lock();
        for diagnostic in &diagnostics {
            writeln!(out, "{diagnostic}")?;
        }
        let errors = diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Error).count();
        let counts = snapshot.counts;
        writeln!(
            out,
            "{}, {}, {}: {}, {}",
            counted(bundle.issuers.len(), "JwtIssuer", "JwtIssuers"),
            counted(counts.policies, "Policy", "Policies"),
            counted(counts.roles, "Role", "Roles"),
            counted(errors, "error", "errors"),
            counted(diagnostics.len() - errors, "warning", "warnings"),
        )?;
        Ok(if errors == 0 { Exit::Success } else { Exit::Invalid })
    }
}
