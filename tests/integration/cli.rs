//! What the commands say of input that is wrong: the exit code, and the file, flag, object or field
//! that it is about.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;

use crate::support::envoy::root;
use crate::support::process::Process;

pub(super) const POLICY: &str = "\
apiVersion: iam.openfaas.com/v1
kind: Policy
metadata: {name: dev}
spec:
  statement:
  - {sid: all, effect: Allow, action: ['Function:*'], resource: ['dev:*']}
";

pub(super) const ROLE: &str = "\
apiVersion: iam.openfaas.com/v1
kind: Role
metadata: {name: developers}
spec:
  policy: [dev]
  principal: {'jwt:sub': [alice], 'jwt:iss': ['https://idp.example.com']}
";

pub(super) const ISSUER: &str = "\
apiVersion: iam.openfaas.com/v1
kind: JwtIssuer
metadata: {name: idp}
spec: {iss: 'https://idp.example.com', aud: [openfaas]}
";

const ALICE: &str = r#"{"iss": "https://idp.example.com", "aud": "openfaas", "sub": "alice"}"#;

/// How long a command may take that is to end by itself.
const LIMIT: Duration = Duration::from_secs(20);

/// How a command ended, and all that it wrote.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) code: Option<i32>,
    pub(super) output: String,
}

/// Runs `faas-iam` in `dir`, without any variable of the environment.
pub(super) fn faas_iam(dir: &Path, args: &[&str]) -> Result<Ended> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_faas-iam"));
    command.args(args).current_dir(dir).env_clear();
    ended(command)
}

fn ended(command: Command) -> Result<Ended> {
    let logs = tempfile::tempdir()?;
    let mut process = Process::start("faas-iam", command, logs.path())?;
    ensure!(process.wait(LIMIT), "it does not end: {}", process.output());
    let status = process.exited().context("it did not end")?;
    Ok(Ended { code: status.code(), output: process.output() })
}

/// A directory with these files.
pub(super) fn directory(files: &[(&str, &str)]) -> Result<TempDir> {
    let dir = tempfile::tempdir()?;
    for (name, content) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().context("no parent")?)?;
        fs::write(path, content)?;
    }
    Ok(dir)
}

// === impl Ended ===

impl Ended {
    /// It ended with `code`, and one line of what it wrote holds all of `parts`, in their order.
    pub(super) fn says(&self, code: i32, parts: &[&str]) -> Result<()> {
        ensure!(self.code == Some(code), "expected exit code {code}: {self:#?}");
        let holds = |line: &str| {
            let rest = parts.iter().try_fold(line, |rest, part| rest.split_once(part).map(|(_, rest)| rest));
            rest.is_some()
        };
        ensure!(self.output.lines().any(holds), "no {parts:?} in {self:#?}");
        ensure!(!self.output.contains("panicked"), "{self:#?}");
        ensure!(!self.output.contains('\u{1b}'), "colours without a terminal: {self:#?}");
        Ok(())
    }
}

/// Validates one file, and expects the exit code and a diagnostic.
#[track_caller]
fn check_validate(text: &str, code: i32, parts: &[&str]) -> Result<()> {
    let dir = directory(&[("policies/iam.yaml", text)])?;
    faas_iam(dir.path(), &["validate", "policies"])?.says(code, parts)
}

#[test]
fn validate_counts_what_is_sound() -> Result<()> {
    let dir = directory(&[("a.yaml", POLICY), ("b.yaml", ROLE), ("c.yaml", ISSUER)])?;
    let ended = faas_iam(dir.path(), &["validate", "a.yaml", "b.yaml", "c.yaml"])?;
    ended.says(0, &["1 JwtIssuer, 1 Policy, 1 Role: 0 errors, 0 warnings"])
}

#[test]
fn validate_names_the_path_that_cannot_be_opened() -> Result<()> {
    let dir = directory(&[("good.yaml", POLICY)])?;
    faas_iam(dir.path(), &["validate", "good.yaml", "missing"])?
        .says(1, &["faas-iam: missing: cannot be read"])
}

#[test]
fn validate_names_the_file_below_that_cannot_be_read() -> Result<()> {
    let dir = directory(&[("policies/good.yaml", POLICY)])?;
    std::os::unix::fs::symlink("nowhere", dir.path().join("policies/link.yaml"))?;
    fs::write(dir.path().join("policies/latin1.yaml"), b"a: \xe9\n")?;
    let ended = faas_iam(dir.path(), &["validate", "policies"])?;
    ended.says(3, &["policies/link.yaml: error[unreadable-file]: cannot be read: "])?;
    ended.says(3, &["policies/latin1.yaml: error[unreadable-file]: cannot be read: "])?;
    ended.says(3, &["1 Policy, 0 Roles: 2 errors"])
}

#[test]
fn validate_names_file_and_line_of_what_is_not_yaml() -> Result<()> {
    let text = format!("{POLICY}---\n# broken\nkind: Role\nspec: [\n---\n{ROLE}");
    check_validate(&text, 3, &["policies/iam.yaml:10: error[unreadable-document]: ", "(column 7; "])?;
    // The documents around it were read.
    check_validate(&text, 3, &["1 Policy, 1 Role: 1 error, 0 warnings"])?;
    check_validate(
        "just a text",
        3,
        &["policies/iam.yaml:1: error[unreadable-document]: expected an object"],
    )?;
    check_validate("kind: Policy\n", 3, &["iam.yaml:1: error[unreadable-document]: `apiVersion` or `kind`"])
}

#[test]
fn validate_names_object_and_field_of_what_cannot_be_read() -> Result<()> {
    let condition = |operator: &str| format!("{ROLE}  condition: {operator}\n");
    check_validate(
        &condition("{StringMatches: {'jwt:sub': [a]}}"),
        3,
        &[
            "policies/iam.yaml:1: error[unknown-operator] Role openfaas/developers \
             spec.condition.StringMatches: unknown operator `StringMatches`",
            "StringLike",
        ],
    )?;
    check_validate(
        &condition("{StringEqual: {'sub': [a]}}"),
        3,
        &["error[unknown-key] Role openfaas/developers spec.condition.StringEqual.sub: ", "`jwt:CLAIM`"],
    )?;
    check_validate(
        &condition("{IpAddress: {'request:SourceIp': [10.0.0.0/33]}}"),
        3,
        &[
            "error[invalid-value] Role openfaas/developers spec.condition.IpAddress.request:SourceIp: `10.0.0.0/33`",
        ],
    )?;
    check_validate(
        &POLICY.replace("resource:", "resources:"),
        3,
        &["error[unknown-field] Policy openfaas/dev spec.statement[0].resources: ", "`resource`"],
    )?;
    check_validate(
        &POLICY.replace("Allow", "allow"),
        3,
        &["error[invalid-effect] Policy openfaas/dev spec.statement[0].effect: `allow`", "`Allow` or `Deny`"],
    )?;
    check_validate(
        &ISSUER.replace("https", "http"),
        3,
        &["error[invalid-issuer] JwtIssuer openfaas/idp spec.iss: "],
    )
}

#[test]
fn validate_warns_of_what_has_no_effect() -> Result<()> {
    check_validate(
        ROLE,
        0,
        &[
            "iam.yaml:1: warning[missing-policy] Role openfaas/developers spec.policy[0]: ",
            "`dev`",
            "grants nothing",
        ],
    )?;
    check_validate(
        &POLICY.replace("Function:*", "Function:Admin"),
        0,
        &["warning[unknown-action] Policy openfaas/dev spec.statement[0].action[0]: ", "`Function:Admin`"],
    )?;
    check_validate(
        &format!("{ISSUER}tokenExpiry: 1h\n"),
        0,
        &["warning[unknown-field] JwtIssuer openfaas/idp tokenExpiry: "],
    )
}

#[test]
fn validate_names_every_place_of_a_duplicate() -> Result<()> {
    let dir = directory(&[("one/a.yaml", POLICY), ("two/b.yaml", &format!("{ROLE}---\n{POLICY}"))])?;
    let ended = faas_iam(dir.path(), &["validate", "one", "two"])?;
    let told = "stands more than once (one/a.yaml:1, two/b.yaml:8)";
    ended.says(3, &["one/a.yaml:1: error[duplicate-object] Policy openfaas/dev: ", told])?;
    ended.says(3, &["two/b.yaml:8: error[duplicate-object] Policy openfaas/dev: ", told])
}

#[test]
fn validate_speaks_to_programs() -> Result<()> {
    let wrong = POLICY.replace("Allow", "allow");
    let dir = directory(&[("p/50%,a.yaml", &format!("{ISSUER}---\n{wrong}"))])?;
    std::os::unix::fs::symlink("nowhere", dir.path().join("p/link.yaml"))?;
    let github = faas_iam(dir.path(), &["validate", "-o", "github", "p"])?;
    github.says(3, &["::error file=p/50%25%2Ca.yaml,line=6,title=invalid-effect::", "`Allow` or `Deny`"])?;
    github.says(3, &["::error file=p/link.yaml,title=unreadable-file::p/link.yaml: "])?;
    let json = faas_iam(dir.path(), &["validate", "-o", "json", "p"])?;
    let report: serde_json::Value = serde_json::from_str(&json.output)?;
    let found = &report["diagnostics"][0];
    assert_eq!((json.code, &report["errors"], &found["line"]), (Some(3), &2.into(), &6.into()));
    assert_eq!((&found["file"], &found["code"]), (&"p/50%,a.yaml".into(), &"invalid-effect".into()));
    assert_eq!(
        (&found["object"], &found["field"]),
        (&"Policy openfaas/dev".into(), &"spec.statement[0].effect".into())
    );
    Ok(())
}

/// Runs `explain` for Alice, with `args` after its options.
fn explain(args: &[&str]) -> Result<Ended> {
    let files = [("p/a.yaml", POLICY), ("p/b.yaml", ROLE), ("p/c.yaml", ISSUER), ("alice.json", ALICE)];
    let dir = directory(&files)?;
    fs::write(dir.path().join("list.json"), "[]")?;
    fs::write(dir.path().join("nobody.json"), r#"{"iss": "https://idp.example.com", "aud": "openfaas"}"#)?;
    fs::write(dir.path().join("twice.json"), r#"{"iss": "https://idp.example.com", "iss": "x"}"#)?;
    fs::write(dir.path().join("garbage"), "garbage")?;
    fs::create_dir(dir.path().join("broken"))?;
    fs::write(dir.path().join("broken/a.yaml"), "a: [\n")?;
    faas_iam(dir.path(), &[&["explain"], args].concat())
}

#[test]
fn explain_answers_with_its_exit_code() -> Result<()> {
    let asked = ["--policy-dir=p", "--claims=alice.json"];
    explain(&[&asked[..], &["GET", "/system/functions?namespace=dev"]].concat())?
        .says(0, &["allow: allowed"])?;
    let denied = explain(&[&asked[..], &["GET", "https://gw.example.com/system/functions"]].concat())?;
    denied.says(2, &["deny: no-matching-allow"])?;
    denied.says(2, &["403 ", "alice needs Function:List on openfaas-fn:*"])?;
    explain(&[&asked[..], &["GET", "system/functions"]].concat())?
        .says(2, &["400 ", "does not begin with '/'"])
}

#[test]
fn strict_federation_closes_what_lenient_warns_of() -> Result<()> {
    let role = ROLE.replace(", 'jwt:iss': ['https://idp.example.com']", "");
    let files = [("p/a.yaml", POLICY), ("p/b.yaml", &role), ("p/c.yaml", ISSUER), ("alice.json", ALICE)];
    let dir = directory(&files)?;
    faas_iam(dir.path(), &["validate", "p"])?
        .says(0, &["warning[issuer-not-named] Role openfaas/developers"])?;
    faas_iam(dir.path(), &["validate", "--strict-federation", "p"])?
        .says(3, &["error[issuer-not-named] Role openfaas/developers"])?;
    let ask = ["explain", "--policy-dir=p", "--claims=alice.json", "GET", "/system/functions?namespace=dev"];
    faas_iam(dir.path(), &ask)?.says(0, &["allow: allowed"])?;
    let mut strict = Command::new(env!("CARGO_BIN_EXE_faas-iam"));
    strict.args(ask).current_dir(dir.path()).env("FAAS_IAM_STRICT_FEDERATION", "yes");
    let closed = ended(strict)?;
    closed.says(2, &["deny: no-matching-role"])?;
    closed.says(2, &["problem    ", "error[issuer-not-named]"])
}

#[test]
fn explain_names_the_file_that_it_cannot_use() -> Result<()> {
    let ask = |policies: &str, claims: &str| explain(&[policies, claims, "GET", "/system/info"]);
    ask("--policy-dir=missing", "--claims=alice.json")?
        .says(1, &["--policy-dir missing: ", "No such file"])?;
    ask("--policy-dir=p", "--claims=missing")?.says(1, &["--claims missing: ", "No such file"])?;
    ask("--policy-dir=p", "--claims=garbage")?.says(1, &["--claims garbage: ", "line 1"])?;
    ask("--policy-dir=p", "--claims=list.json")?.says(1, &["--claims list.json: expected a JSON object"])?;
    ask("--policy-dir=p", "--claims=nobody.json")?.says(1, &["--claims nobody.json: ", "no sub"])?;
    ask("--policy-dir=p", "--claims=twice.json")?.says(1, &["--claims twice.json: "])?;
    ask("--policy-dir=p", "--token=garbage")?.says(1, &["--token garbage: malformed token"])?;
    // What is wrong with the objects is part of the answer.
    ask("--policy-dir=broken", "--claims=alice.json")?.says(2, &["problem ", "broken/a.yaml:1: error["])?;
    let body = ["--policy-dir=p", "--claims=alice.json", "--body=missing", "POST", "/system/functions"];
    explain(&body)?.says(1, &["--body missing: ", "No such file"])
}

#[test]
fn wrong_command_lines_end_with_64() -> Result<()> {
    let dir = directory(&[])?;
    let cases: &[(&[&str], &[&str])] = &[
        (&[], &["Usage: faas-iam"]),
        (&["serv"], &["'serv'"]),
        (&["validate"], &["<DIR|FILE>"]),
        (&["validate", "--strict", "x"], &["'--strict'"]),
        (&["explain", "--policy-dir=p", "GET", "/"], &["--claims <FILE>", "--token <FILE>"]),
        (
            &["explain", "--policy-dir=p", "--claims=a", "--token=b", "GET", "/"],
            &["'--claims <FILE>'", "'--token <FILE>'"],
        ),
        (
            &["explain", "--policy-dir=p", "--claims=a", "--source-ip=10.0.0", "GET", "/"],
            &["'10.0.0'", "--source-ip"],
        ),
        (
            &["explain", "--policy-dir=p", "--claims=a", "--provider=k8s", "GET", "/"],
            &["'k8s'", "--provider"],
        ),
        (&["serve", "--policy-dir=p"], &["--issuer <URL>"]),
        (&["serve", "--issuer=https://gw"], &["--policy-dir or --kubernetes"]),
        (&["serve", "--issuer=https://gw", "--kubernetes", "--policy-dir=p"], &["exclude each other"]),
        (&["serve", "--issuer=https://gw", "--kubernetes"], &["needs --signing-key"]),
        (&["serve", "--issuer=https://gw", "--policy-dir=p", "--kube"], &["'--kube'"]),
        (&["serve", "--issuer=https://gw", "--policy-dir=p", "--provider=k8s"], &["'k8s'", "--provider"]),
        (&["serve", "--issuer=https://gw", "--policy-dir=p", "--http-listen=x"], &["'x'", "--http-listen"]),
        (&["serve", "--issuer=https://gw", "--policy-dir=p", "--grpc-listen=x"], &["'x'", "--grpc-listen"]),
        (&["serve", "--issuer=gw", "--policy-dir=p"], &["--issuer: `gw`"]),
        (&["serve", "--issuer=https://gw?x", "--policy-dir=p"], &["--issuer: `https://gw?x`"]),
        (
            &["serve", "--issuer=https://gw", "--policy-dir=p", "--default-namespace=kube-system"],
            &["--default-namespace: `kube-system`"],
        ),
        (
            &["serve", "--issuer=https://gw", "--policy-dir=p", "--default-namespace=Fn"],
            &["--default-namespace: `Fn` is no namespace"],
        ),
        (
            &["serve", "--issuer=https://gw", "--policy-dir=p", "--system-namespaces=a,b.c"],
            &["--system-namespaces: `b.c` is no namespace"],
        ),
        (
            &["serve", "--issuer=https://gw", "--policy-dir=p", "--admin-basic-auth=allow"],
            &["--admin-basic-auth allow needs --gateway-credentials"],
        ),
        (
            &["serve", "--issuer=https://gw", "--policy-dir=p", "--grpc-tls-cert=c"],
            &["--grpc-tls-key <FILE>"],
        ),
        (&["serve", "--issuer=https://gw", "--policy-dir=p", "--grpc-tls-client-ca=c"], &["--grpc-tls-cert"]),
        (
            &["serve", "--issuer=https://gw", "--policy-dir=p", "--grpc-tls-client-san=c"],
            &["--grpc-tls-client-ca"],
        ),
        (
            &["serve", "--issuer=https://gw", "--policy-dir=p", "--max-connections=0"],
            &["'0'", "--max-connections"],
        ),
        (
            &["serve", "--issuer=https://gw", "--policy-dir=p", "--max-check-bytes=1"],
            &["'1'", "--max-check-bytes"],
        ),
    ];
    for (args, parts) in cases {
        faas_iam(dir.path(), args)?.says(64, parts).with_context(|| format!("{args:?}"))?;
    }
    // Variables are flags as well.
    let mut command = Command::new(env!("CARGO_BIN_EXE_faas-iam"));
    command.args(["serve", "--issuer=https://gw", "--policy-dir=p"]).env("FAAS_IAM_PROVIDER", "k8s");
    ended(command)?.says(64, &["'k8s'", "--provider"])
}

/// Runs `serve` with `args`, which keep it from starting.
fn serve(dir: &Path, args: &[&str]) -> Result<Ended> {
    let issuer = ["serve", "--issuer=https://gw.example.com"];
    faas_iam(dir, &[&issuer[..], args].concat())
}

#[test]
fn serve_does_not_start_without_its_files() -> Result<()> {
    let dir =
        directory(&[("p/a.yaml", POLICY), ("garbage", "garbage"), ("credentials/basic-auth-user", "a")])?;
    let public = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n";
    fs::write(dir.path().join("public.pem"), public)?;
    fs::write(dir.path().join("wrong.pem"), public.replace("PUBLIC", "PRIVATE"))?;
    serve(dir.path(), &["--policy-dir=missing"])?.says(1, &["--policy-dir missing: ", "No such file"])?;
    serve(dir.path(), &["--policy-dir=garbage"])?.says(1, &["--policy-dir garbage: ", "Not a directory"])?;
    for (key, told) in [
        ("missing", "No such file"),
        ("garbage", "holds 0 private keys"),
        ("public.pem", "holds 0 private keys"),
        ("wrong.pem", "P-256"),
    ] {
        let ended = serve(dir.path(), &["--policy-dir=p", &format!("--signing-key={key}")])?;
        ended.says(1, &["--signing-key", key, told])?;
    }
    for (cert, told) in [("missing", "No such file"), ("garbage", "no certificate in it")] {
        let tls = [format!("--grpc-tls-cert={cert}"), "--grpc-tls-key=wrong.pem".to_owned()];
        serve(dir.path(), &["--policy-dir=p", &tls[0], &tls[1]])?
            .says(1, &["--grpc-tls-cert", cert, told])?;
    }
    let ended = serve(dir.path(), &["--policy-dir=p", "--gateway-credentials=credentials"])?;
    ended.says(1, &["--gateway-credentials credentials: ", "credentials/basic-auth-password: "])
}

#[test]
fn serve_names_the_address_that_is_taken() -> Result<()> {
    let dir = directory(&[("p/a.yaml", POLICY)])?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let taken = listener.local_addr()?.to_string();
    for flag in ["--grpc-listen", "--http-listen", "--admin-listen"] {
        let address = |each: &str| format!("{each}={}", if each == flag { &taken } else { "127.0.0.1:0" });
        let (grpc, http, admin) =
            (address("--grpc-listen"), address("--http-listen"), address("--admin-listen"));
        let ended = serve(dir.path(), &["--policy-dir=p", &grpc, &http, &admin])?;
        ended.says(1, &[flag, &taken, "cannot listen: Address already in use"])?;
    }
    Ok(())
}

#[test]
fn crds_prints_the_manifests() -> Result<()> {
    let shipped = |folder: &str| -> Result<String> {
        let read = |kind| fs::read_to_string(root().join(format!("manifests/{folder}/{kind}.yaml")));
        Ok([read("jwtissuers")?, read("policies")?, read("roles")?].join("---\n"))
    };
    for (args, folder) in [(&["crds"][..], "crds"), (&["crds", "--admission-policy"], "admission")] {
        let ended = faas_iam(Path::new("/"), args)?;
        assert_eq!((ended.code, ended.output), (Some(0), shipped(folder)?), "{args:?}");
    }
    assert_eq!(faas_iam(Path::new("/"), &["crds", "policies"])?.code, Some(64));
    Ok(())
}
