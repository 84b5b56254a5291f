//! Dex: a person signs in and uses the API, until a Role changes.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use reqwest::Method;
use serde_json::{Value, json};

use crate::stage::{CLIENT_ID, DEVELOPER, REDIRECT, STRANGER, Stage, member, policy};
use crate::support::report::Report;
use crate::toolchain::Built;

/// The name in the report.
pub(crate) const PART: &str = "Dex";

/// How long an edit of a Role may take to be in force.
const EDIT_WITHIN: Duration = Duration::from_secs(1);

/// What the other parts need.
#[derive(Debug)]
pub(crate) struct Tokens {
    /// The developer's, from Dex.
    pub(crate) id_token: String,
    /// The stranger's, from Dex.
    pub(crate) stranger: String,
    /// The developer's, for the API.
    pub(crate) api: String,
}

/// Runs the part; an error if there are no tokens for the others.
pub(crate) async fn run(report: &mut Report, stage: &Stage, built: &Built) -> Result<Tokens> {
    report.part(PART);
    let check = "the authorization code flow with PKCE ends with an ID token";
    let id_token = report.step(check, sign_in(stage, built, DEVELOPER)).await;
    let stranger = report.step("so it does for somebody else", sign_in(stage, built, STRANGER)).await;
    let (id_token, stranger) = id_token.zip(stranger).context("nobody could sign in")?;

    let check = "the ID token is exchanged for a token for the API, through Envoy";
    let api = report.step(check, exchange(stage, &id_token)).await.context("nothing to use the API with")?;
    let checks = [
        ("the token lists functions in dev", allowed(stage, &api).await),
        ("it deletes nothing in prod", refused(stage, &api).await),
        ("without a Role nothing is exchanged", no_role(stage, &stranger).await),
    ];
    for (check, result) in checks {
        report.count(check, result);
    }
    match edit(stage, &api).await {
        Ok(after) => {
            let after = after.as_secs_f64() * 1000.0;
            report.pass(&format!("an edit of the Role denies the next request ({after:.0} ms later)"));
        }
        Err(why) => report.fail("an edit of the Role denies the next request", &why),
    }
    Ok(Tokens { id_token, stranger, api })
}

async fn sign_in(stage: &Stage, built: &Built, (user, password): (&str, &str)) -> Result<String> {
    let args = [
        &format!("-issuer={}", stage.issuer),
        &format!("-client-id={CLIENT_ID}"),
        &format!("-redirect={REDIRECT}"),
        &format!("-user={user}"),
    ];
    built.line_of("signin", &args.map(String::as_str), &[("PASSWORD", password)]).await
}

async fn exchange(stage: &Stage, id_token: &str) -> Result<String> {
    let (status, answer) = stage.exchange(id_token).await?;
    ensure!(status == 200, "{status} {answer}");
    ensure!(answer.get("expires_in").and_then(Value::as_i64) == Some(600), "not the JwtIssuer's lifetime");
    ensure!(member(&answer, "token_type") == "Bearer", "no bearer token");
    Ok(member(&answer, "access_token").to_owned())
}

async fn allowed(stage: &Stage, token: &str) -> Result<()> {
    let answer = stage.call(Method::GET, "/system/functions?namespace=dev", token, None).await?;
    ensure!(answer.status() == 200, "{}", answer.status());
    let body = answer.text().await?;
    ensure!(body.contains("\"hello\""), "{body}");
    Ok(())
}

async fn refused(stage: &Stage, token: &str) -> Result<()> {
    let function = json!({ "functionName": "checkout", "namespace": "prod" });
    let answer = stage.call(Method::DELETE, "/system/functions", token, Some(&function)).await?;
    ensure!(answer.status() == 403, "{}", answer.status());
    let body = answer.text().await?;
    ensure!(body.contains("Function:Delete"), "{body}");
    Ok(())
}

async fn no_role(stage: &Stage, id_token: &str) -> Result<()> {
    let (status, answer) = stage.exchange(id_token).await?;
    ensure!(status == 400, "{status}");
    ensure!(member(&answer, "error_description").starts_with("No policies found for subject"), "{answer}");
    Ok(())
}

/// Takes the Role from the developer and gives it back; how long the former took.
async fn edit(stage: &Stage, token: &str) -> Result<Duration> {
    let roles = policy("roles.yaml")?;
    stage.write_policy("roles.yaml", &roles.replace("[developers]", "[former-developers]"))?;
    let taken = wait_for(stage, token, 403).await;
    stage.write_policy("roles.yaml", &roles)?;
    wait_for(stage, token, 200).await.context("the Role was given back")?;
    taken
}

async fn wait_for(stage: &Stage, token: &str, status: u16) -> Result<Duration> {
    let start = Instant::now();
    loop {
        let answer = stage.call(Method::GET, "/system/functions?namespace=dev", token, None).await?;
        let elapsed = start.elapsed();
        if answer.status() == status {
            ensure!(elapsed < EDIT_WITHIN, "only after {elapsed:.1?}");
            return Ok(elapsed);
        }
        if elapsed > EDIT_WITHIN * 10 {
            bail!("still {} after {elapsed:.1?}", answer.status());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
