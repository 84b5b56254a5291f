//! Every token that is refused: the answer says what to mend, in one line, and not what the token was.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::objects::{SigningKey, grant};
use crate::stack::{CLIENT_ID, Setup, Stack, text};
use crate::support::http::RawResponse;

/// A token, why it is refused, and what the answer says.
type Case = (&'static str, String, &'static str);

/// `base` with these members in place of its own.
fn with(mut base: Value, members: Value) -> Value {
    if let (Some(base), Value::Object(members)) = (base.as_object_mut(), members) {
        base.extend(members);
    }
    base
}

/// A token of this header, with the claims and the signature of another.
fn under_header(token: &str, header: &Value) -> Result<String> {
    let (_, rest) = token.split_once('.').context("no header")?;
    Ok(format!("{}.{rest}", URL_SAFE_NO_PAD.encode(header.to_string())))
}

fn with_another_signature(token: &str) -> Result<String> {
    let (signed, _) = token.rsplit_once('.').context("no signature")?;
    Ok(format!("{signed}.{}", "A".repeat(86)))
}

/// What holds for the form of any token.
fn malformed(good: &str) -> Result<Vec<Case>> {
    let (signed, signature) = good.rsplit_once('.').context("no signature")?;
    let header = |members: Value| {
        let header = json!({ "alg": "ES256", "typ": "JWT", "kid": "key-1" });
        under_header(good, &with(header, members))
    };
    Ok(vec![
        ("no token", "garbage-that-is-no-token".to_owned(), "not three parts with dots between them"),
        ("four parts", format!("{good}.{signature}"), "not three parts with dots between them"),
        ("padded", format!("{signed}.{signature}="), "the signature is not canonical unpadded base64url"),
        ("no algorithm", header(json!({ "alg": "none" }))?, "the token's alg is none of ES256"),
        ("a shared secret", header(json!({ "alg": "HS256" }))?, "the token's alg is none of ES256"),
        ("critical members", header(json!({ "crit": ["x"] }))?, "the header member crit is not accepted"),
        ("encrypted", header(json!({ "enc": "A256GCM" }))?, "the header member enc is not accepted"),
        ("another type", header(json!({ "typ": "logout+jwt" }))?, "typ is not JWT or at+jwt"),
        ("a long kid", header(json!({ "kid": "k".repeat(2000) }))?, "kid is not a text of at most"),
        (
            "a forged signature",
            with_another_signature(good)?,
            "the signature does not verify: send the token as",
        ),
    ])
}

fn of_the_provider(stack: &Stack) -> Result<Vec<Case>> {
    let now = faas_iam::transport::now();
    let claims = json!({ "iss": stack.provider.issuer, "sub": "alice", "aud": CLIENT_ID, "exp": now + 600 });
    let sign = |members: Value| stack.provider.sign(&with(claims.clone(), members));
    let good = sign(json!({}))?;
    let mut cases = malformed(&good)?;
    cases.extend([
        (
            "an issuer that is not registered",
            sign(json!({ "iss": "https://unknown.example" }))?,
            "the issuer https://unknown.example is not registered (JwtIssuer)",
        ),
        (
            "another audience",
            sign(json!({ "aud": ["another-client", "and-another"] }))?,
            "the audience another-client, and-another is not accepted for http://",
        ),
        (
            "expired",
            sign(json!({ "exp": 1_700_000_000 }))?,
            "the token expired at 2023-11-14T22:13:20Z: get a new one",
        ),
        (
            "too early",
            sign(json!({ "nbf": 4_000_000_000_u64 }))?,
            "not valid before 2096-10-02T07:06:40Z (nbf)",
        ),
        (
            "of the future",
            sign(json!({ "iat": 4_000_000_000_u64 }))?,
            "not valid before 2096-10-02T07:06:40Z (iat)",
        ),
        ("a time that is text", sign(json!({ "exp": "soon" }))?, "exp is not a number of seconds since 1970"),
        ("no subject", sign(json!({ "sub": "" }))?, "sub is not a non-empty text"),
        ("no audience", sign(json!({ "aud": [] }))?, "aud is not a list of non-empty texts"),
        (
            "a key that is not published",
            SigningKey::generate()?.sign("key-99", &claims)?,
            "the issuer has no key with the token's kid: get a new token",
        ),
        ("too long", sign(json!({ "x": "x".repeat(16 * 1024) }))?, "longer than 16384 bytes"),
        (
            "somebody without a Role",
            sign(json!({ "sub": "mallory" }))?,
            "No policies found for subject: mallory",
        ),
    ]);
    Ok(cases)
}

async fn of_ours(stack: &Stack) -> Result<Vec<Case>> {
    let kid = text(&stack.jwks().await?, "/keys/0/kid")?.to_owned();
    let now = faas_iam::transport::now();
    let claims = json!({
        "iss": stack.issuer(), "aud": stack.issuer(), "sub": "fed:alice", "fed:iss": stack.provider.issuer,
        "fed:aud": CLIENT_ID, "policy": ["alice"], "iat": now, "exp": now + 600, "jti": "test",
    });
    let sign = |members: Value| stack.key.sign(&kid, &with(claims.clone(), members));
    let good = sign(json!({}))?;
    ensure!(stack.get(&good, LIST).await? == 200, "the token that all others are made from is refused");
    let mut cases = malformed(&good)?;
    cases.extend([
        ("the provider's own", stack.id_token("alice")?, "/oauth/token first"),
        ("expired", sign(json!({ "exp": now - 1 }))?, ": get a new one"),
        (
            "too early",
            sign(json!({ "nbf": 4_000_000_000_u64 }))?,
            "not valid before 2096-10-02T07:06:40Z (nbf)",
        ),
        (
            "for somebody else",
            sign(json!({ "aud": "https://else.example" }))?,
            "the audience https://else.example is not accepted",
        ),
        (
            "a key that is not published",
            SigningKey::generate()?.sign("another-key", &claims)?,
            "the issuer has no key with the token's kid: get a new token",
        ),
        (
            "from a provider that is not registered any more",
            sign(json!({ "fed:iss": "https://gone.example" }))?,
            "the issuer https://gone.example is not registered (JwtIssuer)",
        ),
        (
            "for a client that is not accepted any more",
            sign(json!({ "fed:aud": "former-client" }))?,
            "the audience former-client is not accepted",
        ),
        ("a function token", stack.function_token("alice", &["dev:*"], &[]).await?, "function token"),
    ]);
    Ok(cases)
}

const LIST: &str = "/system/functions?namespace=dev";

/// Neither the token nor a part of it that says or proves anything.
fn echoes(answer: &RawResponse, token: &str) -> bool {
    let headers = answer.headers.iter().map(|(name, value)| format!("{name}: {value}\n"));
    let all = headers.collect::<String>() + &answer.text();
    all.contains(token) || token.split('.').any(|part| part.len() > 8 && all.contains(part))
}

#[tokio::test]
async fn every_refused_token_is_told_what_to_mend_without_being_repeated() -> Result<()> {
    let objects = grant("alice", "Function:*", "dev:*");
    let stack = Stack::start(Setup::with_flags(objects, &["--token-burst=1000"])).await?;
    // The provider's keys are there from now on.
    stack.token("alice").await?;
    for (name, token, told) in of_the_provider(&stack)? {
        let answer = stack.exchange(&token, &[]).await?;
        ensure!(answer.status == 400, "{name}: {}", answer.status);
        let body: Value = serde_json::from_slice(&answer.body)?;
        ensure!(text(&body, "/error")? == "invalid_request", "{name}: {body}");
        let description = text(&body, "/error_description")?;
        ensure!(description.contains(told), "{name}: {description}");
        ensure!(!echoes(&answer, &token), "{name}: the answer repeats the token");
    }
    for (name, token, told) in of_ours(&stack).await? {
        let authorization = format!("Bearer {token}");
        let answer = stack.send("GET", LIST, &[("Authorization", &authorization)], b"").await?;
        ensure!(answer.status == 401, "{name}: {}", answer.status);
        let challenge = answer.header("www-authenticate").with_context(|| format!("{name}: no challenge"))?;
        ensure!(challenge.contains(r#"error="invalid_token""#), "{name}: {challenge}");
        ensure!(challenge.contains(told), "{name}: {challenge}");
        ensure!(answer.text().contains(told), "{name}: {}", answer.text());
        ensure!(!echoes(&answer, &token), "{name}: the answer repeats the token");
    }
    ensure!(
        stack.upstream()?.is_some_and(|request| request.path() == "/system/functions"),
        "only the good one"
    );
    Ok(())
}

#[tokio::test]
async fn nothing_that_a_token_names_is_contacted() -> Result<()> {
    let stack = Stack::start(Setup::new(grant("alice", "Function:*", "dev:*"))).await?;
    let good = stack.token("alice").await?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let canary = format!("http://{}", listener.local_addr()?);
    let id_token = stack.id_token("alice")?;
    let elsewhere = stack.provider.id_token("alice", CLIENT_ID, &json!({ "iss": canary }))?;
    let header = |kid: &str| {
        let keys = format!("{canary}/keys");
        json!({ "alg": "ES256", "kid": kid, "jku": keys, "x5u": keys, "iss": canary })
    };
    for token in [&id_token, &elsewhere, &good] {
        for kid in ["key-1", "another", &canary] {
            let named = under_header(token, &header(kid))?;
            ensure!(stack.exchange(&named, &[]).await?.status == 400, "a forged token was exchanged");
            ensure!(stack.get(&named, LIST).await? == 401, "a forged token was accepted");
        }
    }
    let contacted = tokio::time::timeout(Duration::from_millis(300), listener.accept()).await;
    ensure!(contacted.is_err(), "somebody connected: {contacted:?}");
    Ok(())
}
