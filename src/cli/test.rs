//! `faas-iam test`: tests of policies, written as YAML.

mod coverage;
mod format;
mod junit;
mod report;
mod suite;

use std::collections::BTreeSet;
use std::io::{Write, stdout};
use std::path::{Path, PathBuf};

use super::{Exit, JudgingArgs, usage};
use crate::crd::TEST_KIND;
use crate::source::files;
use report::Report;
use suite::{Shared, Suite};

/// Arguments of `test`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exits with 0 if all cases hold, with 1 if one does not, and with 3 if objects or tests \
    cannot be read.\n\nExample, policies/tests/dev.yaml:\n  \
    apiVersion: faas-iam/v1alpha1\n  \
    kind: DecisionTest\n  \
    objectsFrom: [..]\n  \
    identities:\n    \
    alice: {iss: \"https://idp.example.com\", aud: openfaas, sub: alice, groups: [dev]}\n  \
    cases:\n  \
    - name: a developer lists functions\n    \
    identity: alice\n    \
    request: {method: GET, path: \"/system/functions?namespace=dev\"}\n    \
    expect: {decision: allow}"
)]
pub(super) struct Args {
    /// Files with tests, and directories, in which files without tests are passed over
    #[arg(required = true, value_name = "DIR|FILE")]
    paths: Vec<PathBuf>,
    /// Name the statements on which no case rests
    #[arg(long, env = "FAAS_IAM_COVERAGE", value_parser = clap::builder::BoolishValueParser::new())]
    coverage: bool,
    /// How to print what came of it
    #[arg(short, long, env = "FAAS_IAM_OUTPUT", value_enum, default_value_t)]
    output: Output,
    #[command(flatten)]
    judging: JudgingArgs,
}

/// How what came of tests is printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    #[default]
    Text,
    Json,
    Junit,
}

impl Args {
    pub(super) fn run(&self) -> anyhow::Result<Exit> {
        if self.coverage && self.output == Output::Junit {
            return Ok(usage("--coverage has no place in JUnit: use --output text or json"));
        }
        let (mut report, mut shared) = (Report::default(), Shared::new(self.judging.federation()));
        let mut seen = BTreeSet::new();
        for path in &self.paths {
            report.add_all(path, &mut seen, &mut shared);
        }
        let coverage = self.coverage.then_some(&shared.coverage);
        let text = match self.output {
            Output::Text => report.to_text(coverage),
            Output::Json => format!("{:#}\n", report.to_json(coverage)),
            Output::Junit => junit::write(&report)?,
        };
        stdout().lock().write_all(text.as_bytes())?;
        Ok(report.exit())
    }
}

impl Report {
    /// Runs what tests there are at `path`; `seen` are the files that need no second look.
    fn add_all(&mut self, path: &Path, seen: &mut BTreeSet<PathBuf>, shared: &mut Shared) {
        let place = path.display();
        let (found, problems) = match files::find(path) {
            Ok((found, bundle)) => (found, bundle.diagnostics),
            Err(error) => {
                return self.unreadable(
                    path,
                    format!("{place}: {error}: name a file with tests, or a directory of them"),
                );
            }
        };
        for problem in problems {
            self.unreadable(Path::new(&problem.origin), format!("{}: {}", problem.origin, problem.message));
        }
        let mut holds_tests = false;
        for file in found {
            if file.canonicalize().is_ok_and(|file| !seen.insert(file)) {
                holds_tests = true;
                continue;
            }
            let holds_some = self.add(&file, shared);
            holds_tests |= holds_some;
            self.without_tests += usize::from(!holds_some && path.is_dir());
        }
        if !holds_tests {
            let cure = format!("write a document of the kind {TEST_KIND}");
            self.unreadable(path, format!("{place}: holds no tests: {cure}"));
        }
    }

    /// Runs the tests of one file. False if it holds none.
    fn add(&mut self, file: &Path, shared: &mut Shared) -> bool {
        let text = match files::read_text(file) {
            Ok(text) => text,
            Err(error) => {
                self.unreadable(file, format!("{}: cannot be read: {error}", file.display()));
                return true;
            }
        };
        match Suite::run(file, &text, shared) {
            Ok(Some(suite)) => self.suites.push(suite),
            Ok(None) => return false,
            Err(error) => self.unreadable(file, format!("{error:#}")),
        }
        true
    }
}
