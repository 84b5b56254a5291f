//! Function tokens from the exchange, on their way through Envoy.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::objects::grant;
use crate::stack::{Setup, Stack};
use crate::support::http::RawResponse;

fn field<'a>(answer: &'a Value, name: &str) -> Result<&'a str> {
    answer.get(name).and_then(Value::as_str).with_context(|| format!("no {name} in {answer}"))
}

fn json(answer: &RawResponse) -> Result<Value> {
    Ok(serde_json::from_slice(&answer.body)?)
}

#[tokio::test]
async fn an_exchanged_function_token_opens_what_it_was_made_for_while_the_policies_do() -> Result<()> {
    let objects = grant("alice", "Function:Invoke", "dev:*");
    let stack = Stack::start(Setup::with_flags(objects, &["--function-auth=required"])).await?;
    let api_token = stack.token("alice").await?;
    let scope = ("scope", "function");

    for subject in [stack.id_token("alice")?, api_token.clone()] {
        let answer =
            stack.exchange(&subject, &[scope, ("audience", "dev:shop"), ("audience", "dev:cart")]).await?;
        ensure!(answer.status == 200, "{}", answer.text());
        let answer = json(&answer)?;
        assert_eq!(field(&answer, "scope")?, "function");
        let token = field(&answer, "access_token")?;
        for (function, status) in [
            ("/function/shop.dev", 200),
            ("/function/cart.dev/x?y", 200),
            ("/function/other.dev", 403),
            ("/function/shop", 403),
            ("/system/functions?namespace=dev", 401),
        ] {
            assert_eq!(stack.get(token, function).await?, status, "{function}");
        }
        let again = stack.exchange(token, &[scope]).await?;
        assert_eq!((again.status, field(&json(&again)?, "error")?), (400, "invalid_request"));
    }

    let elsewhere = stack.exchange(&api_token, &[scope, ("audience", "prod:shop")]).await?;
    assert_eq!((elsewhere.status, field(&json(&elsewhere)?, "error")?), (400, "invalid_target"));
    assert_eq!(stack.get(&api_token, "/function/shop.dev").await?, 401, "an API token opens no function");

    let whole = json(&stack.exchange(&api_token, &[scope]).await?)?;
    let token = field(&whole, "access_token")?;
    assert_eq!(stack.get(token, "/function/anything.dev").await?, 200);
    assert_eq!(stack.get(token, "/function/anything.other").await?, 403);
    // What was given out ends with the policy that gave it.
    stack.write_objects("objects.yaml", "# nothing is granted any more")?;
    stack.until_status(token, "/function/anything.dev", 403).await
}
