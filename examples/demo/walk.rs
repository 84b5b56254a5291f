//! The walk: one step after the other, each answer checked.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};
use serde_json::json;

use crate::call::{Answer, Call, Field, quote_path};
use crate::stage::{CLIENT_ID, Stage};

/// How long a policy may take from the file to the decision.
const POLICY_WITHIN: Duration = Duration::from_secs(10);

/// Walks through everything; fails at the first answer that is not as expected.
pub(crate) async fn walk(stage: &Stage) -> Result<()> {
    let token = sign_in(stage).await?;
    let url = |path: &str| format!("{}{path}", stage.envoy.url);

    title(stage, "alice is a developer: she may list and deploy in dev");
    let list = Call::new("GET", url("/system/functions?namespace=dev")).token(&token);
    expect(&list, 200, "\"hello\"").await?;
    let function = json!({ "service": "greet", "image": "functions/alpine:latest", "namespace": "dev" });
    let deploy = Call::new("POST", url("/system/functions")).token(&token).json(function);
    expect(&deploy, 202, "").await?;

    title(stage, "she may not delete in prod");
    let old = json!({ "functionName": "old-report", "namespace": "prod" });
    let delete = Call::new("DELETE", url("/system/functions")).token(&token).json(old);
    expect(&delete, 403, "Function:Delete").await?;

    title(stage, "nobody gets in without a token");
    expect(&Call::new("GET", url("/system/functions")), 401, "").await?;

    edit_policy(stage, &delete).await?;
    explain(stage)?;

    title(stage, "functions are called without a token, as ever (--function-auth off)");
    expect(&Call::new("GET", url("/function/hello.dev")), 200, "\"hello\"").await?;
    println!();
    Ok(())
}

/// Signs in and exchanges the ID token; the file with the token for the API.
async fn sign_in(stage: &Stage) -> Result<PathBuf> {
    title(stage, "alice signs in at the identity provider");
    let sign_in = Call::new("POST", format!("{}/token", stage.identity_provider.issuer)).form(vec![
        ("grant_type", Field::Text("password")),
        ("client_id", Field::Text(CLIENT_ID)),
        ("username", Field::Text("alice")),
        ("password", Field::Text("wonderland")),
    ]);
    let answer = expect_token(&sign_in).await?;
    let id_token = stage.write_private("alice.id-token", &answer.member("id_token")?)?;
    println!("    ID token in {}", id_token.display());

    title(stage, "she exchanges the ID token for a token of OpenFaaS");
    let exchange = Call::new("POST", format!("{}/oauth/token", stage.envoy.url)).form(vec![
        ("grant_type", Field::Text("urn:ietf:params:oauth:grant-type:token-exchange")),
        ("subject_token_type", Field::Text("urn:ietf:params:oauth:token-type:id_token")),
        ("subject_token", Field::File(id_token)),
    ]);
    let answer = expect_token(&exchange).await?;
    let token = stage.write_private("alice.token", &answer.member("access_token")?)?;
    println!("    access token in {}", token.display());
    Ok(token)
}

/// Puts a policy file beside the others, and waits until it is in force.
async fn edit_policy(stage: &Stage, delete: &Call) -> Result<()> {
    title(stage, "a new policy takes effect while all runs, for the token she has");
    let policy = stage.later_policy("alice-cleans-up.yaml.later")?;
    for line in policy.lines().filter(|line| !line.starts_with('#')) {
        println!("    | {line}");
    }
    // Written under another name first, so that no half of it is ever read.
    let file = stage.policies().join("alice-cleans-up.yaml");
    let draft = stage.dir().join("alice-cleans-up.yaml");
    fs::write(&draft, policy)?;
    fs::rename(&draft, &file)?;
    let start = Instant::now();
    println!("    $ {}", delete.curl());
    loop {
        let answer = delete.send().await?;
        let elapsed = start.elapsed();
        match answer.status {
            202 => {
                println!("    202 after {:.0} ms", elapsed.as_secs_f64() * 1000.0);
                return Ok(());
            }
            403 if elapsed < POLICY_WITHIN => tokio::time::sleep(Duration::from_millis(5)).await,
            status => bail!("{status} instead of 202, {elapsed:.1?} after the edit: {}", answer.body),
        }
    }
}

/// Asks the command line why something is refused.
fn explain(stage: &Stage) -> Result<()> {
    title(stage, "the command line explains a decision, from the same policies");
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let claims = json!({
        "iss": stage.identity_provider.issuer, "sub": "alice", "aud": CLIENT_ID,
        "iat": now, "exp": now + 3600, "groups": ["developers"],
    });
    let claims = stage.write_private("alice.claims.json", &claims.to_string())?;
    let arguments: [&Path; 7] = [
        Path::new("explain"),
        Path::new("--policy-dir"),
        &stage.policies(),
        Path::new("--claims"),
        &claims,
        Path::new("GET"),
        Path::new("/system/secrets?namespace=prod"),
    ];
    let shown: Vec<String> = arguments.iter().map(|argument| quote_path(argument)).collect();
    println!("    $ {} {}; echo $?", quote_path(&stage.binary), shown.join(" "));
    let output = Command::new(&stage.binary).args(arguments).output()?;
    print_indented(&String::from_utf8_lossy(&output.stdout));
    print_indented(&String::from_utf8_lossy(&output.stderr));
    match output.status.code() {
        Some(2) => println!("    2   (0 is allow, 2 is deny)"),
        other => bail!("explain ended with {other:?} instead of 2, deny"),
    }
    Ok(())
}

/// Shows a request, sends it, and shows the answer; fails if it is another than expected.
async fn expect(call: &Call, status: u16, text: &str) -> Result<Answer> {
    println!("    $ {}", call.curl());
    let answer = call.send().await?;
    println!("    {}", answer.status);
    print_indented(&answer.body);
    check(&answer, status)?;
    if !answer.body.contains(text) {
        bail!("the body does not hold `{text}`: {}", answer.body);
    }
    Ok(answer)
}

/// The same for an answer with a token, which is not shown.
async fn expect_token(call: &Call) -> Result<Answer> {
    println!("    $ {}", call.curl());
    let answer = call.send().await.context("no answer")?;
    println!("    {}", answer.status);
    check(&answer, 200)?;
    Ok(answer)
}

fn check(answer: &Answer, status: u16) -> Result<()> {
    if answer.status != status {
        bail!("{} instead of {status}: {}", answer.status, answer.body);
    }
    Ok(())
}

fn print_indented(text: &str) {
    for line in text.lines() {
        println!("    {line}");
    }
}

fn title(stage: &Stage, text: &str) {
    println!();
    stage.say(text);
}
