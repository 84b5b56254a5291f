//! Calls of functions, and the settings that change what a request needs.

use anyhow::Result;

use crate::objects::grant;
use crate::stack::{PASSWORD, Setup, Stack, USER, basic};
use crate::support::envoy::accepting_admin;
use crate::support::http::RawResponse;

const REALM: &str = r#"Bearer realm="IAM function invoke""#;
const API: &str = r#"Bearer realm="OpenFaaS API", charset="UTF-8""#;

impl Stack {
    /// Sends a request with this `Authorization`; the answer, and the `Authorization` that reached
    /// the gateway, if anything did.
    async fn call(
        &self,
        method: &str,
        target: &str,
        authorization: Option<&str>,
    ) -> Result<(RawResponse, Option<Option<String>>)> {
        let headers: Vec<_> = authorization.iter().map(|value| ("Authorization", *value)).collect();
        let answer = self.send(method, target, &headers, b"").await?;
        let upstream = self.upstream()?;
        Ok((answer, upstream.map(|request| request.header("authorization").map(str::to_owned))))
    }
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

#[tokio::test]
async fn a_callback_must_be_one_allowed_url() -> Result<()> {
    let stack = Stack::start(Setup::new("")).await?;
    let narrow = ["--callback-allow=https://*.example.com/hooks/*"];
    let narrow = Stack::start(Setup::with_flags("", &narrow)).await?;
    for (url, default, narrowed) in [
        ("https://a.example.com/hooks/1", 202, 202),
        ("https://example.org/x?y=z", 202, 403),
        ("https://a.example.com/other", 202, 403),
        ("http://a.example.com/hooks/1", 403, 403),
        ("http://gateway.openfaas:8080/function/g", 403, 403),
        ("https://user@a.example.com/hooks/1", 403, 403),
        ("https://10.0.0.1/hooks/1", 403, 403),
        ("https://[::1]/hooks/1", 403, 403),
        ("ftp://a.example.com/hooks/1", 403, 403),
        ("/function/g", 400, 400),
        ("https://a.example.com/hooks/1, https://b.example.com/hooks/2", 400, 400),
        ("", 400, 400),
    ] {
        for (stack, expected) in [(&stack, default), (&narrow, narrowed)] {
            let answer = stack.send("POST", "/async-function/f", &[("X-Callback-Url", url)], b"").await?;
            assert_eq!(answer.status, expected, "{url}: {}", answer.text());
            let upstream = stack.upstream()?;
            let forwarded = upstream.as_ref().and_then(|request| request.header("x-callback-url"));
            assert_eq!(forwarded, (expected == 202).then_some(url), "{url}");
        }
    }
    let twice = [("X-Callback-Url", "https://a.example.com/"), ("X-Callback-Url", "https://b.example.com/")];
    assert_eq!(stack.send("POST", "/async-function/f", &twice, b"").await?.status, 400);
    assert!(stack.upstream()?.is_none());
    Ok(())
}

#[tokio::test]
async fn an_api_token_reaches_no_function_in_whatever_form() -> Result<()> {
    let stack = Stack::start(Setup::new(grant("alice", "*", "*"))).await?;
    let token = stack.token("alice").await?;
    let (payload, _) = token.rsplit_once('.').unwrap_or_default();
    for form in [
        format!("Bearer {token}"),
        format!("bearer\t {token}"),
        token.clone(),
        format!("Basic dTpw, Bearer {token}"),
        format!("Token token=\"{token}\""),
        format!("Bearer:{token}"),
        format!("Bearer {payload}.{}", "A".repeat(86)),
    ] {
        for (method, target) in [("GET", "/function/f"), ("POST", "/async-function/f.dev/x")] {
            let (answer, upstream) = stack.call(method, target, Some(&form)).await?;
            assert_eq!((answer.status, upstream), (401, None), "{form}: {}", answer.text());
        }
    }
    let second = [("Authorization", "Basic dTpw"), ("Authorization", &bearer(&token))];
    assert_eq!(stack.send("GET", "/function/f", &second, b"").await?.status, 401);
    assert_eq!(stack.send("GET", "/system/info", &second, b"").await?.status, 401);
    assert!(stack.upstream()?.is_none());
    // Tokens and passwords of others are the function's own affair.
    for own in ["Basic dTpw".to_owned(), bearer(&stack.id_token("alice")?), "Digest a=b".to_owned()] {
        let (answer, upstream) = stack.call("GET", "/function/f", Some(&own)).await?;
        assert_eq!((answer.status, upstream), (200, Some(Some(own))));
    }
    Ok(())
}

#[tokio::test]
async fn the_dashboard_where_it_is_open_serves_its_files_and_no_api() -> Result<()> {
    let stack = Stack::start(Setup::with_flags(grant("alice", "IAM:Review", "*"), &["--ui=open"])).await?;
    let token = bearer(&stack.token("alice").await?);
    for authorization in [None, Some(token.as_str()), Some("Bearer garbage")] {
        for target in ["/", "/ui/", "/ui/index.html", "/ui/a/b.js?v=1"] {
            let (answer, upstream) = stack.call("GET", target, authorization).await?;
            assert_eq!(upstream, Some(Some(basic(USER, PASSWORD))), "{target}: {}", answer.text());
        }
        for (method, target) in [
            ("GET", "/system/functions"),
            ("POST", "/ui/"),
            ("GET", "/ui"),
            ("GET", "/ui/%2e%2e/system/info"),
        ] {
            let (answer, upstream) = stack.call(method, target, authorization).await?;
            assert!(answer.status >= 400 && upstream.is_none(), "{method} {target}: {}", answer.status);
        }
    }
    Ok(())
}

#[tokio::test]
async fn nothing_opens_a_system_namespace() -> Result<()> {
    let stack = Stack::start(Setup::new(grant("all", "*", "*"))).await?;
    let token = bearer(&stack.token("all").await?);
    for namespace in ["openfaas", "kube-system", "kube-public", "kube-node-lease"] {
        for (method, target, body) in [
            ("GET", format!("/function/gateway.{namespace}/x"), String::new()),
            ("POST", format!("/async-function/f.{namespace}"), String::new()),
        ] {
            let answer = stack.send(method, &target, &[], body.as_bytes()).await?;
            assert_eq!(answer.status, 403, "{target}: {}", answer.text());
        }
        for (method, target, body) in [
            ("GET", format!("/system/logs?name=f&namespace={namespace}"), String::new()),
            ("GET", format!("/system/functions?namespace={namespace}"), String::new()),
            ("GET", format!("/system/namespace/{namespace}"), String::new()),
            (
                "POST",
                "/system/functions".to_owned(),
                format!(r#"{{"service":"f","namespace":"{namespace}"}}"#),
            ),
            ("POST", "/system/namespace/".to_owned(), format!(r#"{{"name":"{namespace}"}}"#)),
            ("DELETE", format!("/system/secrets?namespace={namespace}"), r#"{"name":"s"}"#.to_owned()),
        ] {
            let answer = stack.send(method, &target, &[], body.as_bytes()).await?;
            assert_eq!(answer.status, 401, "{target} {body}: {}", answer.text());
            let headers = [("Authorization", token.as_str())];
            let answer = stack.send(method, &target, &headers, body.as_bytes()).await?;
            assert_eq!(answer.status, 403, "{target} {body}: {}", answer.text());
            assert!(answer.text().contains("belongs to the system"), "{}", answer.text());
        }
    }
    assert!(stack.gateway.recorded().is_empty(), "{:?}", stack.gateway.recorded());
    Ok(())
}

#[tokio::test]
async fn where_function_tokens_are_required_nothing_else_calls_a_function() -> Result<()> {
    let objects = grant("alice", "Function:Invoke", "dev:*") + &grant("root", "*", "*");
    let stack = Stack::start(Setup::with_flags(objects, &["--function-auth=required"])).await?;
    let (api_token, id_token) = (stack.token("alice").await?, stack.id_token("alice")?);
    let for_dev = stack.function_token("alice", &["dev:*"], &[]).await?;
    let for_f = stack.function_token("alice", &["dev:f"], &["dev:f"]).await?;
    let too_wide = stack.function_token("alice", &["*"], &[]).await?;
    let of_nobody = stack.function_token("nobody", &["*"], &[]).await?;
    let for_all = stack.function_token("root", &["*"], &[]).await?;
    for (token, f, g, other, system) in [
        (None, 401, 401, 401, 401),
        (Some("garbage"), 401, 401, 401, 401),
        (Some(api_token.as_str()), 401, 401, 401, 401),
        (Some(id_token.as_str()), 401, 401, 401, 401),
        (Some(for_dev.as_str()), 200, 200, 403, 403),
        (Some(for_f.as_str()), 200, 403, 403, 403),
        (Some(too_wide.as_str()), 200, 200, 403, 403),
        (Some(of_nobody.as_str()), 403, 403, 403, 403),
        (Some(for_all.as_str()), 200, 200, 200, 403),
    ] {
        let authorization = token.map(bearer);
        for (function, expected) in [("f.dev", f), ("g.dev", g), ("f.other", other), ("f.openfaas", system)] {
            for (method, prefix) in [("GET", "/function/"), ("POST", "/async-function/")] {
                let target = format!("{prefix}{function}");
                let (answer, upstream) = stack.call(method, &target, authorization.as_deref()).await?;
                let allowed = expected == 200;
                let seen = if answer.status == 202 { 200 } else { answer.status };
                assert_eq!(seen, expected, "{token:?} {target}: {}", answer.text());
                // What reaches the function is what the client sent.
                assert_eq!(upstream, allowed.then(|| authorization.clone()), "{token:?} {target}");
                let challenge = answer.header("www-authenticate");
                assert_eq!(challenge.is_some(), expected == 401, "{token:?} {target}");
                match (challenge, token) {
                    (Some(challenge), None) => assert_eq!(challenge, REALM),
                    (Some(challenge), Some(_)) => {
                        let start = format!(r#"{REALM}, error="invalid_token", error_description=""#);
                        assert!(challenge.starts_with(&start), "{challenge}");
                    }
                    (None, _) => {}
                }
            }
        }
    }
    // The other way round: a function token opens no API.
    let (answer, upstream) = stack.call("GET", "/system/info", Some(&bearer(&for_all))).await?;
    assert_eq!((answer.status, upstream), (401, None), "{}", answer.text());
    assert_eq!(stack.call("GET", "/healthz", None).await?.0.status, 200);
    Ok(())
}

#[tokio::test]
async fn a_function_that_declares_it_is_called_with_a_token_only() -> Result<()> {
    let declared = |name: &str, namespace: &str, value: &str| {
        format!(
            "---\napiVersion: openfaas.com/v1\nkind: Function\nmetadata: {{name: {name}, namespace: {namespace}}}\n\
             spec: {{name: {name}, image: i, environment: {{jwt_auth: {value}}}}}\n"
        )
    };
    let objects = grant("alice", "Function:Invoke", "*")
        + &declared("f", "dev", "\"true\"")
        + &declared("one", "dev", "\"1\"")
        + &declared("no", "dev", "\"false\"")
        + &declared("g", "openfaas-fn", "true");
    let stack = Stack::start(Setup::with_flags(objects.clone(), &["--function-auth=declared"])).await?;
    let api_token = bearer(&stack.token("alice").await?);
    let token = bearer(&stack.function_token("alice", &["*"], &[]).await?);
    for (function, asks) in [
        ("f.dev", true),
        ("one.dev", true),
        ("no.dev", false),
        ("f.other", false),
        ("f", false),
        ("g", true),
        ("g.openfaas-fn", true),
        ("g.dev", false),
    ] {
        let target = format!("/function/{function}");
        let (without, upstream) = stack.call("GET", &target, None).await?;
        assert_eq!(without.status, if asks { 401 } else { 200 }, "{function}");
        assert_eq!(without.header("www-authenticate"), asks.then_some(REALM), "{function}");
        assert_eq!(upstream, (!asks).then_some(None), "{function}");
        let (with, upstream) = stack.call("GET", &target, Some(&token)).await?;
        assert_eq!((with.status, upstream), (200, Some(Some(token.clone()))), "{function}");
        let (with, upstream) = stack.call("GET", &target, Some(&api_token)).await?;
        assert_eq!((with.status, upstream), (401, None), "{function}");
    }
    stack.write_objects("objects.yaml", &objects.replace("jwt_auth: \"true\"", "jwt_auth: \"false\""))?;
    crate::stack::eventually("the call is open", async || {
        let (answer, _) = stack.call("GET", "/function/f.dev", None).await?;
        Ok(if answer.status == 200 { Ok(()) } else { Err(answer.text()) })
    })
    .await
}

/// A request whose meaning depends on the provider.
struct Split {
    method: &'static str,
    target: &'static str,
    body: &'static str,
    /// For `any`, `faas-netes` and `faasd`: the statuses for somebody who has every permission on
    /// `dev`, on the default namespace, and on both.
    statuses: [[u16; 3]; 3],
}

const DEV: [u16; 3] = [200, 403, 200];
const DEFAULT: [u16; 3] = [403, 200, 200];
const BOTH: [u16; 3] = [403, 403, 200];

const SPLITS: [Split; 6] = [
    Split {
        method: "DELETE",
        target: "/system/functions",
        body: r#"{"functionName":"f","namespace":"dev"}"#,
        statuses: [DEV; 3],
    },
    Split {
        method: "DELETE",
        target: "/system/functions?namespace=dev",
        body: r#"{"functionName":"f"}"#,
        statuses: [BOTH, DEV, DEFAULT],
    },
    Split {
        method: "DELETE",
        target: "/system/functions?namespace=",
        body: r#"{"functionName":"f","namespace":"dev"}"#,
        statuses: [BOTH, DEFAULT, DEV],
    },
    Split {
        method: "POST",
        target: "/system/scale-function/f?namespace=dev",
        body: r#"{"replicas":1}"#,
        statuses: [BOTH, DEV, DEFAULT],
    },
    Split {
        method: "DELETE",
        target: "/system/secrets?namespace=dev",
        body: r#"{"name":"s"}"#,
        statuses: [BOTH, DEFAULT, DEV],
    },
    Split { method: "DELETE", target: "/system/secrets", body: r#"{"name":"s"}"#, statuses: [DEFAULT; 3] },
];

#[tokio::test]
async fn a_request_needs_permission_on_what_the_provider_reads_from_it() -> Result<()> {
    let objects = grant("dev", "*", "dev:*") + &grant("default", "*", "openfaas-fn:*");
    let objects = objects + &grant("both", "*", "dev:*', 'openfaas-fn:*");
    for (i, provider) in ["any", "faas-netes", "faasd"].into_iter().enumerate() {
        let flag = format!("--provider={provider}");
        let stack = Stack::start(Setup::with_flags(objects.clone(), &[&flag])).await?;
        for (j, subject) in ["dev", "default", "both"].into_iter().enumerate() {
            let token = bearer(&stack.token(subject).await?);
            for Split { method, target, body, statuses } in &SPLITS {
                let headers = [("Authorization", token.as_str())];
                let answer = stack.send(method, target, &headers, body.as_bytes()).await?;
                let case = format!("{provider} {method} {target} {body} by {subject}");
                // What the gateway says of it is its own affair.
                let seen = if stack.upstream()?.is_some() { 200 } else { answer.status };
                assert_eq!(seen, statuses[i][j], "{case}: {}", answer.text());
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn the_gateways_administrator_gets_in_where_envoy_and_the_service_say_so() -> Result<()> {
    let objects = grant("all", "*", "*");
    let flags = ["--admin-basic-auth=allow"];
    let setup = Setup { envoy: accepting_admin, ..Setup::with_flags(objects.clone(), &flags) };
    let stack = Stack::start(setup).await?;
    let (admin, wrong) = (basic(USER, PASSWORD), basic(USER, "wrong"));
    let token = bearer(&stack.token("all").await?);
    let through = Some(Some(admin.clone()));
    for (method, target, with_admin, with_token) in [
        ("POST", "/system/alert", through.clone(), None),
        ("GET", "/system/info", through.clone(), through.clone()),
        ("GET", "/system/functions?namespace=dev", through.clone(), through.clone()),
        ("GET", "/system/telemetry", None, None),
        ("GET", "/system/functions?namespace=openfaas", None, None),
        ("GET", "/ui/", None, None),
    ] {
        for (authorization, expected) in [(&admin, with_admin), (&token, with_token)] {
            let (answer, upstream) = stack.call(method, target, Some(authorization)).await?;
            assert_eq!(upstream, expected, "{target}: {}", answer.text());
            assert_eq!(answer.status == 403, expected.is_none(), "{target}: {}", answer.text());
        }
        for refused in [None, (target == "/system/alert").then_some(wrong.as_str())] {
            let (answer, upstream) = stack.call(method, target, refused).await?;
            assert_eq!((answer.status, upstream), (401, None), "{target}");
            let offered = answer.headers.iter().filter(|(name, _)| name == "www-authenticate");
            let offered: Vec<_> = offered.map(|(_, value)| value.as_str()).collect();
            assert_eq!(offered, [API, r#"Basic realm="OpenFaaS API", charset="UTF-8""#], "{target}");
        }
    }
    // On functions it is no credential, and travels as the client sent it.
    let (answer, upstream) = stack.call("GET", "/function/f", Some(&wrong)).await?;
    assert_eq!((answer.status, upstream), (200, Some(Some(wrong.clone()))));

    // Tries are counted; whoever has had too many does not get in with the right ones either.
    for guess in 0..10 {
        let (answer, upstream) =
            stack.call("GET", "/system/info", Some(&basic(USER, &guess.to_string()))).await?;
        assert_eq!((answer.status, upstream), (401, None), "guess {guess}");
    }
    let (answer, upstream) = stack.call("GET", "/system/info", Some(&admin)).await?;
    assert_eq!((answer.status, upstream), (401, None));
    assert_eq!(stack.call("GET", "/system/info", Some(&token)).await?.0.status, 200);

    // With one of the two settings alone, it is as if there were none.
    let only_service = Stack::start(Setup::with_flags(objects.clone(), &flags)).await?;
    let only_envoy = Stack::start(Setup { envoy: accepting_admin, ..Setup::new(objects) }).await?;
    for stack in [only_service, only_envoy] {
        for authorization in [None, Some(admin.as_str())] {
            let (answer, upstream) = stack.call("POST", "/system/alert", authorization).await?;
            assert_eq!((answer.status, upstream), (401, None));
            assert_eq!(answer.header("www-authenticate"), Some(API));
            let offered = answer.headers.iter().filter(|(name, _)| name == "www-authenticate").count();
            assert_eq!(offered, 1);
        }
    }
    Ok(())
}
