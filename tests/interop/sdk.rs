//! The OpenFaaS Go SDK; its checks are in `go/sdk`.

use anyhow::{Result, anyhow};

use crate::dex::Tokens;
use crate::stage::{MACHINE, Stage};
use crate::support::report::Report;
use crate::toolchain::{Built, Ended};

/// The name in the report.
pub(crate) const PART: &str = "OpenFaaS Go SDK";

/// Runs the part.
pub(crate) async fn run(report: &mut Report, stage: &Stage, built: &Built, tokens: &Tokens) {
    report.part(PART);
    match checks(stage, built, tokens).await {
        Ok(ended) => count(report, &ended),
        Err(why) => report.fail("the program runs", &why),
    }
}

async fn checks(stage: &Stage, built: &Built, tokens: &Tokens) -> Result<Ended> {
    let args = [
        &format!("-gateway={}", stage.envoy.url),
        &format!("-provider-token-url={}/token", stage.issuer),
        &format!("-machine-client={}", MACHINE.0),
    ];
    let env = [
        ("ID_TOKEN", tokens.id_token.as_str()),
        ("STRANGER_TOKEN", &tokens.stranger),
        ("MACHINE_SECRET", MACHINE.1),
    ];
    built.run("sdk", &args.map(String::as_str), &env).await
}

/// Counts each line of the program, and its end if the lines do not account for that.
fn count(report: &mut Report, ended: &Ended) {
    let (mut lines, mut failures) = (0, 0);
    for line in ended.stdout.lines() {
        lines += 1;
        if let Some(check) = line.strip_prefix("ok ") {
            report.pass(check);
        } else {
            failures += 1;
            let line = line.strip_prefix("not ok ").unwrap_or(line);
            let (check, why) = line.split_once(": ").unwrap_or((line, "no reason was given"));
            report.fail(check, &anyhow!("{why}"));
        }
    }
    if lines == 0 || ended.success != (failures == 0) {
        report.fail("the program ends as its checks do", &anyhow!("{}", ended.stderr.trim()));
    }
}
