//! Decisions as data: every case of `tests/decisions/*.yaml` is decided as it is written there, by
//! `faas-iam test`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::support::envoy::root;

/// What `faas-iam test` prints as JSON, as far as it matters here.
#[derive(Debug, Deserialize)]
struct Report {
    files: Vec<File>,
    cases: usize,
    coverage: Coverage,
}

#[derive(Debug, Deserialize)]
struct File {
    file: PathBuf,
    settings: Map<String, Value>,
    cases: Vec<Case>,
}

#[derive(Debug, Deserialize)]
struct Case {
    name: String,
    claims: Option<Map<String, Value>>,
    request: Map<String, Value>,
    expected: Value,
    answered: Answer,
}

#[derive(Debug, Deserialize, PartialEq, Eq)]
struct Answer {
    decision: String,
    reason: String,
    status: Option<u16>,
    #[serde(default)]
    statements: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Coverage {
    statements: usize,
    undecided: Vec<Value>,
}

/// What `explain` prints as JSON, as far as tests know it beforehand.
#[derive(Debug, Deserialize)]
struct Explained {
    decision: String,
    reason: String,
    status: u16,
    statements: Vec<String>,
}

#[test]
fn every_case_is_decided_as_it_is_written() -> Result<()> {
    let report = run(&root().join("tests/decisions"))?;
    ensure!(report.files.len() == test_files()?.len() && report.cases > 300, "{} cases", report.cases);
    for file in &report.files {
        for decision in ["allow", "deny"] {
            let holds_one = file.cases.iter().any(|case| case.answered.decision == decision);
            ensure!(holds_one, "{}: has no case for {decision}", file.file.display());
        }
        // A user may leave parts of the answer out; these tests state it in full.
        for case in &file.cases {
            let mut expected: Answer = serde_json::from_value(case.expected.clone())
                .with_context(|| format!("{}: {}: states a part only", file.file.display(), case.name))?;
            expected.statements.sort();
            let mut answered = case.answered.statements.clone();
            answered.sort();
            let same = (&expected.decision, &expected.reason, expected.status, &expected.statements)
                == (&case.answered.decision, &case.answered.reason, case.answered.status, &answered);
            ensure!(same, "{}: {}: expected {expected:?}", file.file.display(), case.name);
        }
    }
    let Coverage { statements, undecided } = report.coverage;
    println!(
        "{} files, {} cases; they rest on {} of {statements} statements",
        report.files.len(),
        report.cases,
        statements - undecided.len()
    );
    Ok(())
}

#[test]
fn the_order_of_objects_means_nothing() -> Result<()> {
    let dir = tempfile::tempdir()?;
    for path in test_files()? {
        let text = fs::read_to_string(&path)?;
        let mut documents = vec![String::new()];
        for line in text.lines() {
            if line.starts_with("---") {
                documents.push(String::new());
            } else if let Some(document) = documents.last_mut() {
                document.push_str(line);
                document.push('\n');
            }
        }
        documents.reverse();
        ensure!(documents.len() > 2, "{}: is not in documents", path.display());
        fs::write(dir.path().join(path.file_name().unwrap_or_default()), documents.join("---\n"))?;
    }
    let report = run(dir.path())?;
    ensure!(report.files.len() == test_files()?.len() && report.cases > 300, "{} cases", report.cases);
    Ok(())
}

#[test]
fn explain_says_the_same() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut explained = 0;
    for file in run(&root().join("tests/decisions"))?.files {
        // One that is allowed and one that is not.
        for decision in ["allow", "deny"] {
            let of_this = |case: &&Case| case.answered.decision == decision && can_be_explained(case);
            if let Some(case) = file.cases.iter().find(of_this) {
                let at = || format!("{}: {}", file.file.display(), case.name);
                explain(&file, case, dir.path()).with_context(at)?;
                explained += 1;
            }
        }
    }
    ensure!(explained > 40, "{explained} explained");
    Ok(())
}

fn test_files() -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(root().join("tests/decisions"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            files.push(path);
        }
    }
    ensure!(!files.is_empty(), "there are no tests");
    Ok(files)
}

/// Runs `faas-iam test`, all of whose cases must hold.
fn run(directory: &Path) -> Result<Report> {
    let test = |output: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_faas-iam"));
        command.env_clear().args(["test", "--coverage", "--output", output]).arg(directory).output()
    };
    let output = test("json")?;
    if !output.status.success() {
        anyhow::bail!("{}: {}", output.status, String::from_utf8_lossy(&test("text")?.stdout));
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// `explain` takes HTTP requests of known identities, and goes by its own clock.
fn can_be_explained(case: &Case) -> bool {
    case.claims.is_some() && case.request.contains_key("method") && !case.request.contains_key("time")
}

/// Asks `faas-iam explain`, and compares.
fn explain(file: &File, case: &Case, dir: &Path) -> Result<()> {
    let text = |of: &Map<String, Value>, name: &str| of.get(name).and_then(Value::as_str).map(str::to_owned);
    let requested = |name: &str| text(&case.request, name);
    let policies = dir.join(file.file.file_stem().context("no name")?);
    fs::create_dir_all(&policies)?;
    // With its tests: they are none of its objects.
    fs::copy(&file.file, policies.join("objects.yaml"))?;
    let (claims, body) = (dir.join("claims.json"), dir.join("body"));
    fs::write(&claims, json!(case.claims).to_string())?;
    fs::write(
        &body,
        match case.request.get("body") {
            None => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(body) => body.to_string(),
        },
    )?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_faas-iam"));
    command
        .env_clear()
        .args(["explain", "--output=json"])
        .args([requested("method"), requested("path")].iter().flatten());
    command.arg("--policy-dir").arg(&policies).arg("--claims").arg(&claims).arg("--body").arg(&body);
    for (flag, setting) in [
        ("--issuer", "issuer"),
        ("--default-namespace", "defaultNamespace"),
        ("--provider", "provider"),
        ("--function-auth", "functionAuth"),
    ] {
        command.arg(flag).arg(text(&file.settings, setting).context(setting)?);
    }
    if let Some(ip) = requested("sourceIp") {
        command.args(["--source-ip", &ip]);
    }
    let output = command.output()?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    let explained: Explained = serde_json::from_slice(&output.stdout).with_context(|| stderr.into_owned())?;
    let allowed = explained.decision == "allow";
    let code = output.status.code();
    ensure!(code == Some(if allowed { 0 } else { 2 }), "exit code {code:?} with {explained:?}");
    ensure!(!allowed || explained.status == 200, "{explained:?}");
    let answer = Answer {
        decision: explained.decision,
        reason: explained.reason,
        status: (!allowed).then_some(explained.status),
        statements: explained.statements,
    };
    ensure!(answer == case.answered, "explain says {answer:?}, test {:?}", case.answered);
    Ok(())
}
