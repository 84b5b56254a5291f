//! An OpenID client library, which knows nothing of this project, verifies our tokens.

use anyhow::{Result, ensure};

use crate::dex::Tokens;
use crate::stage::Stage;
use crate::support::report::Report;
use crate::toolchain::Built;

/// The name in the report.
pub(crate) const PART: &str = "go-oidc";

/// Runs the part.
pub(crate) async fn run(report: &mut Report, stage: &Stage, built: &Built, tokens: &Tokens) {
    report.part(PART);
    let check = "the token for the API verifies by discovery document and key set";
    report.count(check, verifies(stage, built, &tokens.api).await);
    let check = "so does a function token";
    report.count(check, function_token_verifies(stage, built, &tokens.api).await);
    let check = "a token with another signature does not";
    report.count(check, forged_does_not(stage, built, &tokens.api).await);
}

async fn verifies(stage: &Stage, built: &Built, token: &str) -> Result<()> {
    let issuer = format!("-issuer={}", stage.envoy.url);
    let subject = built.line_of("verify", &[&issuer], &[("TOKEN", token)]).await?;
    ensure!(subject.starts_with("fed:"), "the subject is {subject}");
    Ok(())
}

async fn function_token_verifies(stage: &Stage, built: &Built, api: &str) -> Result<()> {
    verifies(stage, built, &stage.function_token(api, &["dev:hello"]).await?).await
}

async fn forged_does_not(stage: &Stage, built: &Built, token: &str) -> Result<()> {
    let other = stage.function_token(token, &[]).await?;
    let (signed, _) = token.rsplit_once('.').unwrap_or_default();
    let (_, signature) = other.rsplit_once('.').unwrap_or_default();
    let forged = format!("{signed}.{signature}");
    let issuer = format!("-issuer={}", stage.envoy.url);
    let ended = built.run("verify", &[&issuer], &[("TOKEN", &forged)]).await?;
    ensure!(!ended.success && ended.stderr.contains("signature"), "{}", ended.stderr.trim());
    Ok(())
}
