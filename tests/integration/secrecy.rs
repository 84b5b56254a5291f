//! No token, password or query shows in anything that is written down.

use anyhow::{Context as _, Result};

use crate::grpc_client::{connect, snapshot_info};
use crate::objects::grant;
use crate::stack::{FORM, PASSWORD, Setup, Stack, USER, basic, exchange_form};
use crate::support::envoy::accepting_admin;
use crate::support::http;

#[tokio::test]
async fn logs_and_metrics_hold_no_token_and_no_password() -> Result<()> {
    let setup = Setup {
        envoy: accepting_admin,
        log_level: "debug",
        ..Setup::with_flags(grant("alice", "Function:*", "dev:*"), &["--admin-basic-auth=allow"])
    };
    let mut stack = Stack::start(setup).await?;
    let token = stack.token("alice").await?;
    let id_token = stack.id_token("alice")?;
    let function_token = stack.function_token("alice", &["dev:*"], &[]).await?;
    let (signed, signature) = token.rsplit_once('.').context("no signature")?;
    let forged = format!("{signed}.canary{}", signature.get(6..).unwrap_or_default());

    let headers = [
        format!("Bearer {token}"),
        format!("Bearer {forged}"),
        format!("Bearer {id_token}"),
        format!("Bearer {function_token}"),
        "Bearer canary-garbage".to_owned(),
        "Bearer canary.garbage.three".to_owned(),
        format!("Token {token}"),
        format!("Bearer {token}, Basic canary"),
        basic(USER, PASSWORD),
        basic(USER, "canary-wrong-password"),
    ];
    for authorization in &headers {
        for (method, target) in [
            ("GET", "/system/functions?namespace=dev&since=canary-query"),
            ("GET", "/system/functions?namespace=other"),
            ("GET", "/system/functions?namespace=canary;query"),
            ("POST", "/function/f?canary-query"),
            ("POST", "/system/secrets"),
            ("GET", "/nowhere?canary-query"),
        ] {
            let body = if method == "POST" { r#"{"name":"s","value":"canary-secret"}"# } else { "" };
            stack.send(method, target, &[("Authorization", authorization)], body.as_bytes()).await?;
        }
    }
    let in_query = format!("/oauth/token?{}", exchange_form(&id_token, &[]));
    assert_eq!(stack.send("POST", &in_query, &[], b"").await?.status, 200);
    for bad in [&forged, &token, &function_token, "canary-garbage", "canary.garbage.three"] {
        assert_eq!(stack.exchange(bad, &[]).await?.status, 400);
        let as_name = format!("{bad}=1&subject_token={bad}&subject_token={bad}");
        stack.send("POST", "/oauth/token", &[FORM], as_name.as_bytes()).await?;
    }

    let admin = format!("http://{}", stack.service.ports.admin);
    let metrics = http::client()?.get(format!("{admin}/metrics")).send().await?.text().await?;
    let info = format!("{:?}", snapshot_info(connect(&admin).await?, Some(&token)).await??);
    stack.service.process.stop();
    stack.envoy.process.stop();
    let log = stack.service.process.output();
    assert!(log.contains("DEBUG") && log.contains("decision_id"), "nothing was logged: {log}");
    assert!(!log.contains('\u{1b}'), "a log in a file has escape sequences");

    let mut secrets = vec![
        "canary".to_owned(),
        PASSWORD.to_owned(),
        basic(USER, PASSWORD).replace("Basic ", ""),
        basic(USER, "canary-wrong-password").replace("Basic ", ""),
        stack.key.pem.lines().nth(1).context("no key")?.to_owned(),
    ];
    for token in [&token, &forged, &id_token, &function_token] {
        secrets.extend(token.split('.').skip(1).map(str::to_owned));
    }
    let written =
        [("log", log), ("metrics", metrics), ("info", info), ("Envoy", stack.envoy.process.output())];
    for (place, text) in written {
        for secret in &secrets {
            let line = text.lines().find(|line| line.contains(secret.as_str()));
            assert!(line.is_none(), "{place} holds {secret}: {line:?}");
        }
    }
    Ok(())
}
