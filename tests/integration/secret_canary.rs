//! What looks for secrets in the output of all tests finds them.

use std::process::{Command, Output};

use anyhow::Result;

use crate::objects::SigningKey;
use crate::stack::basic;
use crate::support::envoy::root;
use crate::support::identity_provider::IdentityProvider;
use crate::support::process::Process;
use crate::support::secrets::lines_with_secrets;

/// One text for each kind of secret, each in a line that a program could log.
async fn secrets() -> Result<Vec<String>> {
    let token = IdentityProvider::start().await?.id_token("alice", "openfaas", &serde_json::json!({}))?;
    let claims = token.split('.').nth(1).unwrap_or_default();
    let key = SigningKey::generate()?;
    let mut lines = vec![
        format!("the token {token} is not accepted"),
        format!("GET /oauth/token?subject_token={token}&x=y"),
        format!("claims={claims}"),
        "Authorization: Bearer 0123456789abcdef".to_owned(),
        "password: canary-gateway-password".to_owned(),
        key.pem.lines().next().unwrap_or_default().to_owned(),
    ];
    // The three offsets of base64, without the name of the scheme.
    for user in ["ann", "anna", "annas"] {
        lines.push(format!("credentials={}", basic(user, "canary-password").replace("Basic ", "")));
    }
    Ok(lines)
}

const HARMLESS: &[&str] = &[
    "running 12 tests, a_canary_in_a_name ... ok",
    "kid=eyJhbGciOiJub25lIn0",
    "www-authenticate: Bearer realm=\"faas-iam\", Basic authentication",
    "sha256=9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "not UTF-8: \u{fffd}",
];

#[tokio::test]
async fn every_kind_of_secret_is_found_and_not_repeated() -> Result<()> {
    for line in secrets().await? {
        let found = lines_with_secrets(&format!("first\n{line}\nlast"));
        assert_eq!(found.len(), 1, "{line}");
        assert!(found[0].starts_with("line 2: ") && found[0].contains("[secret]"), "{found:?}");
        assert!(lines_with_secrets(&found[0]).is_empty(), "the secret is repeated: {found:?}");
    }
    assert_eq!(lines_with_secrets(&HARMLESS.join("\n")), Vec::<String>::new());
    Ok(())
}

#[tokio::test]
async fn a_process_that_logs_a_secret_fails_its_test() -> Result<()> {
    let line = secrets().await?.swap_remove(0);
    let run = |line: &str| -> Result<bool> {
        let files = tempfile::tempdir()?;
        let mut command = Command::new("sh");
        command.args(["-c", r#"echo "$LINE" >&2"#]).env("LINE", line);
        let mut process = Process::start("sh", command, files.path())?;
        assert!(process.wait(crate::stack::PATIENCE));
        let dropped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(process)));
        Ok(dropped.is_ok())
    };
    assert!(run("nothing to hide")?);
    assert!(!run(&line)?, "a token in a log went unnoticed");
    Ok(())
}

#[tokio::test]
async fn the_console_is_watched_and_shown_as_it_is() -> Result<()> {
    let run = |text: &str, code: &str| -> Result<Output> {
        let script = root().join("tests/without-secrets");
        let command = r#"printf '%s\n' "$1"; echo done >&2; exit "$2""#;
        Ok(Command::new(script).args(["sh", "-c", command, "sh", text, code]).output()?)
    };
    let harmless = HARMLESS.join("\n");
    for code in ["0", "7"] {
        let output = run(&harmless, code)?;
        assert_eq!(output.status.code().map(|code| code.to_string()).as_deref(), Some(code));
        assert_eq!(String::from_utf8(output.stdout)?, format!("{harmless}\ndone\n"));
        assert_eq!(String::from_utf8(output.stderr)?, "");
    }
    for line in secrets().await? {
        for (code, ends_with) in [("0", 1), ("7", 7)] {
            let output = run(&format!("first\n{line}"), code)?;
            assert_eq!(output.status.code(), Some(ends_with), "{line}");
            let told = String::from_utf8(output.stderr)?;
            assert_eq!(told, "error: the output holds a token or another secret, in line 2\n");
        }
    }
    Ok(())
}
