//! Decisions as data: every case of `tests/decisions/*.yaml` is decided as it is written there.

mod format;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use faas_iam::compile::{Bundle, Diagnostic, IssuerKeys, Snapshot, compile};
use faas_iam::crd::Defaults;
use faas_iam::decide::authorize::{self, Identity, Inquiry, Verdict, authorize};
use faas_iam::decide::decide_all;
use faas_iam::identity::InFull;
use faas_iam::identity::Principal;
use faas_iam::identity::verify::described;
use faas_iam::policy::Context;
use faas_iam::route::{self, HttpRequest, Rules};
use faas_iam::source::files;
use faas_iam::token::signer::SigningKeys;
use faas_iam::transport::http_status;
use serde::{Deserialize, Serialize};

use format::{Answer, Case, Decision, DecisionTest, ExpectedDiagnostic, FunctionAuth, Provider, Question};

/// When requests are made that do not say when.
const TIME: &str = "2026-01-15T12:00:00Z";

/// A file of tests, with its objects put in force.
struct File {
    name: String,
    test: DecisionTest,
    objects: String,
    settings: authorize::Settings,
    snapshot: Snapshot,
    /// The same objects in the opposite order.
    reversed: Snapshot,
    diagnostics: Vec<Diagnostic>,
}

/// What `explain` prints as JSON, as far as tests know it beforehand.
#[derive(Debug, Deserialize)]
struct Explained {
    decision: Decision,
    reason: String,
    status: u16,
    statements: Vec<String>,
    diagnostics: Vec<String>,
}

#[test]
fn every_case_is_decided_as_it_is_written() -> Result<()> {
    let (mut failures, mut cases) = (Vec::new(), 0);
    for path in test_files()? {
        let file = match File::read(&path) {
            Ok(file) => file,
            Err(error) => {
                failures.push(format!("{}: {error:#}", path.display()));
                continue;
            }
        };
        failures.extend(file.check_diagnostics());
        for case in &file.test.cases {
            cases += 1;
            if let Err(error) = file.check(case) {
                failures.push(format!("{}: {}:\n    {error:#}", file.name, case.name));
            }
        }
        for decision in [Decision::Allow, Decision::Deny] {
            if !file.test.cases.iter().any(|case| case.expect.decision == decision) {
                failures.push(format!("{}: has no case for {decision:?}", file.name));
            }
        }
    }
    ensure!(failures.is_empty(), "{} failures in {cases} cases:\n{}", failures.len(), failures.join("\n"));
    ensure!(cases > 0, "there are no cases");
    Ok(())
}

#[test]
fn explain_says_the_same() -> Result<()> {
    let dir = tempfile::tempdir()?;
    for path in test_files()? {
        let file = File::read(&path)?;
        // One that is allowed and one that is not.
        for decision in [Decision::Allow, Decision::Deny] {
            let of_this = |case: &&Case| case.expect.decision == decision;
            if let Some(case) =
                file.test.cases.iter().filter(of_this).find(|case| file.can_be_explained(case))
            {
                file.explain(case, dir.path()).with_context(|| format!("{}: {}", file.name, case.name))?;
            }
        }
    }
    Ok(())
}

fn test_files() -> Result<Vec<PathBuf>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/decisions");
    let mut files = Vec::new();
    for entry in fs::read_dir(&directory)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            files.push(path);
        }
    }
    files.sort();
    ensure!(!files.is_empty(), "no tests in {}", directory.display());
    Ok(files)
}

// === impl File ===

impl File {
    fn read(path: &Path) -> Result<Self> {
        let (test, objects) = DecisionTest::split(&fs::read_to_string(path)?)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let defaults =
            Defaults { function_namespace: test.settings.default_namespace.clone(), ..Defaults::default() };
        let mut bundle = Bundle::default();
        files::read_documents(&objects, &name, &defaults, &mut bundle);
        let own = SigningKeys::ephemeral()?.issuer(&test.settings.issuer);
        let (snapshot, diagnostics) = compile(&bundle, &IssuerKeys::new(), &own);
        bundle.issuers.reverse();
        bundle.policies.reverse();
        bundle.roles.reverse();
        bundle.functions.reverse();
        let (reversed, _) = compile(&bundle, &IssuerKeys::new(), &own);
        let rules = Rules {
            default_namespace: test.settings.default_namespace.clone(),
            provider: match test.settings.provider {
                Provider::Any => route::Provider::Any,
                Provider::FaasNetes => route::Provider::FaasNetes,
                Provider::Faasd => route::Provider::Faasd,
            },
            ..Rules::default()
        };
        let function_auth = match test.settings.function_auth {
            FunctionAuth::Off => authorize::FunctionAuth::Off,
            FunctionAuth::Declared => authorize::FunctionAuth::Declared,
            FunctionAuth::Required => authorize::FunctionAuth::Required,
        };
        let settings = authorize::Settings { rules, function_auth };
        Ok(Self { name, test, objects, settings, snapshot, reversed, diagnostics })
    }

    /// What is said of the objects and was not expected, and the other way round.
    fn check_diagnostics(&self) -> Vec<String> {
        let mut found: Vec<ExpectedDiagnostic> = self.diagnostics.iter().map(Into::into).collect();
        found.sort();
        let mut missing: Vec<&ExpectedDiagnostic> = self.test.expect_diagnostics.iter().collect();
        found.retain(|diagnostic| match missing.iter().position(|expected| *expected == diagnostic) {
            Some(at) => {
                missing.swap_remove(at);
                false
            }
            None => true,
        });
        let surplus = found.iter().map(|diagnostic| format!("{}: unexpected {diagnostic}", self.name));
        surplus.chain(missing.iter().map(|expected| format!("{}: missing {expected}", self.name))).collect()
    }

    fn check(&self, case: &Case) -> Result<()> {
        let mut expected = case.expect.clone();
        expected.statements.sort();
        for (snapshot, which) in [(&self.snapshot, ""), (&self.reversed, " (objects in the opposite order)")]
        {
            let answer = self.answer(case, snapshot)?;
            ensure!(answer == expected, "expected {expected}\n    answered {answer}{which}");
        }
        Ok(())
    }

    /// What the library answers.
    fn answer(&self, case: &Case, snapshot: &Snapshot) -> Result<Answer> {
        let principal = self.principal(case)?;
        let time: jiff::Timestamp = case.request.time.as_deref().unwrap_or(TIME).parse()?;
        let mut context =
            Context { source_ip: case.request.source_ip, now: time.as_second(), ..Context::default() };
        match case.request.question()? {
            Question::Http { method, path, body } => {
                context.method = Some(method.to_owned());
                let http = HttpRequest {
                    method,
                    target: path,
                    content_length: None,
                    partial_body: false,
                    callback_url: None,
                    body: &body,
                };
                let identity = principal.as_ref().map_or(Identity::Header(None), Identity::Known);
                let inquiry = Inquiry { http, identity, verifier: &InFull, context, admin: None };
                Ok(of_verdict(&authorize(snapshot, &self.settings, &inquiry)))
            }
            Question::Action(action, resource) => {
                let principal = principal.ok_or_else(|| anyhow!("an action needs an identity"))?;
                let (decision, _) = decide_all(snapshot, &principal, action, &[resource], &context);
                Ok(Answer {
                    decision: match decision {
                        faas_iam::decide::Decision::Allow(_) => Decision::Allow,
                        faas_iam::decide::Decision::Filter(_) => Decision::Filter,
                        faas_iam::decide::Decision::Deny(_) => Decision::Deny,
                    },
                    reason: decision.reason().to_string(),
                    status: None,
                    statements: decision.statements().iter().map(ToString::to_string).collect(),
                })
            }
        }
    }

    fn principal(&self, case: &Case) -> Result<Option<Principal>> {
        let claims = case.claims(&self.test.identities)?;
        Ok(claims.map(described).transpose()?)
    }

    /// `explain` takes HTTP requests of known identities, and goes by its own clock.
    fn can_be_explained(&self, case: &Case) -> bool {
        let is_http = matches!(case.request.question(), Ok(Question::Http { .. }));
        is_http && case.request.time.is_none() && matches!(self.principal(case), Ok(Some(_)))
    }

    /// Asks `faas-iam explain`, and compares.
    fn explain(&self, case: &Case, dir: &Path) -> Result<()> {
        let Question::Http { method, path, body } = case.request.question()? else {
            bail!("no HTTP request")
        };
        let policies = dir.join(self.name.trim_end_matches(".yaml"));
        fs::create_dir_all(&policies)?;
        fs::write(policies.join("objects.yaml"), &self.objects)?;
        let (claims, body_file) = (dir.join("claims.json"), dir.join("body"));
        fs::write(&claims, serde_json::to_vec(&case.claims(&self.test.identities)?)?)?;
        fs::write(&body_file, body)?;
        let settings = &self.test.settings;
        let mut command = Command::new(env!("CARGO_BIN_EXE_faas-iam"));
        command.env_clear().args(["explain", "--output=json", method, path]);
        command.arg("--policy-dir").arg(&policies).arg("--claims").arg(&claims).arg("--body").arg(&body_file);
        command.args(["--issuer", &settings.issuer, "--default-namespace", &settings.default_namespace]);
        command.args(["--provider", &word(&settings.provider)?]);
        command.args(["--function-auth", &word(&settings.function_auth)?]);
        if let Some(ip) = case.request.source_ip {
            command.arg("--source-ip").arg(ip.to_string());
        }
        let output = command.output()?;
        let stderr = String::from_utf8_lossy(&output.stderr);
        let explained: Explained =
            serde_json::from_slice(&output.stdout).with_context(|| stderr.into_owned())?;
        let allowed = explained.decision == Decision::Allow;
        let code = output.status.code();
        ensure!(code == Some(if allowed { 0 } else { 2 }), "exit code {code:?} with {explained:?}");
        ensure!(!allowed || explained.status == 200, "{explained:?}");
        ensure!(explained.diagnostics.len() == self.diagnostics.len(), "{explained:?}");
        let answer = Answer {
            decision: explained.decision,
            reason: explained.reason,
            status: (!allowed).then_some(explained.status),
            statements: explained.statements,
        };
        ensure!(answer == self.answer(case, &self.snapshot)?, "explain says {answer}");
        Ok(())
    }
}

fn of_verdict(verdict: &Verdict) -> Answer {
    let (decision, status) = match verdict.is_allowed() {
        true => (Decision::Allow, None),
        false => (Decision::Deny, Some(http_status(verdict.reason()))),
    };
    let statements = verdict.statements().iter().map(ToString::to_string).collect();
    Answer { decision, reason: verdict.reason().to_string(), status, statements }
}

/// A value as the command line writes it.
fn word(value: &impl Serialize) -> Result<String> {
    let value = serde_json::to_value(value)?;
    Ok(value.as_str().unwrap_or_default().to_owned())
}
