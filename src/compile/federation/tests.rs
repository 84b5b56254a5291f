//! What is found in Roles and JwtIssuers, near misses included.

mod rows;

use serde_json::{Value, json};

use super::super::{Bundle, Diagnostic, IssuerKeys, Snapshot, compile_with};
use super::*;
use crate::crd::{self, Defaults};
use crate::identity::{KeySet, OwnIssuer};

const OKTA: &str = "https://example.okta.com";

fn object(kind: &str, name: &str, spec: Value) -> Value {
    json!({"apiVersion": crd::IAM_API_VERSION, "kind": kind, "metadata": {"name": name}, "spec": spec})
}

fn compiled(documents: Vec<Value>, federation: Federation) -> (Snapshot, Vec<Diagnostic>) {
    let mut bundle = Bundle::default();
    for document in documents {
        crd::read(document, "test", &Defaults::default(), &mut bundle);
    }
    let own = OwnIssuer::new("https://gateway", KeySet::default().into());
    compile_with(&bundle, &IssuerKeys::new(), &own, federation)
}

/// The objects of a Role `r` with this spec (`policy` is added) where these issuers are registered.
fn world(issuers: &[&str], mut role: Value) -> Vec<Value> {
    let statement = json!({"sid": "s", "effect": "Allow", "action": "*", "resource": "*"});
    let mut documents = vec![object("Policy", "p", json!({"statement": [statement]}))];
    for (i, iss) in issuers.iter().enumerate() {
        documents.push(object("JwtIssuer", &format!("i{i}"), json!({"iss": iss, "aud": "https://gateway"})));
    }
    role["policy"] = json!("p");
    documents.push(object("Role", "r", role));
    documents
}

fn codes_of(documents: Vec<Value>) -> Vec<&'static str> {
    let diagnostics = compiled(documents, Federation::Lenient).1;
    diagnostics.iter().for_each(|diagnostic| assert_eq!(diagnostic.severity, Severity::Warning));
    diagnostics.iter().map(|diagnostic| diagnostic.code.as_str()).collect()
}

fn codes(issuers: &[&str], role: Value) -> Vec<&'static str> {
    codes_of(world(issuers, role))
}

/// The codes of a Role that names `iss` and has one more clause.
fn named(iss: &str, operator: &str, key: &str, value: &str) -> Vec<&'static str> {
    let mut condition = json!({"StringEqual": {"jwt:iss": iss}});
    condition[operator][key] = json!([value]);
    codes(&[], json!({"condition": condition}))
}

#[test]
fn only_what_excludes_strangers_narrows() {
    const GITLAB: &str = "https://gitlab.com";
    for (operator, value) in [
        ("StringEqualIfExists", "acme/shop"),
        ("StringLikeIfExists", "acme/*"),
        ("StringNotEqual", "mallory/shop"),
        ("StringNotLike", "mallory/*"),
        ("Null", "false"),
        ("StringLike", "*"),
    ] {
        assert_eq!(named(GITLAB, operator, "jwt:project_path", value), ["broad-trust"], "{operator} {value}");
    }
    for (operator, value) in [
        ("StringEqualIgnoreCase", "Acme/Shop"),
        ("ForAnyValue:StringLike", "acme/*"),
        ("StringLike", "acme/${jwt:x}"),
    ] {
        assert_eq!(named(GITLAB, operator, "jwt:project_path", value), [""; 0], "{operator} {value}");
    }
    assert_eq!(named(GITLAB, "NumericEquals", "jwt:project_id", "7"), [""; 0]);
    assert_eq!(named(GITLAB, "NumericGreaterThan", "jwt:project_id", "7"), ["broad-trust"]);
    // Every alternative must narrow; one of several clauses suffices.
    let role = |paths: Value| json!({"condition": {"StringEqual": {"jwt:iss": GITLAB}, "StringLike": paths}});
    assert_eq!(codes(&[], role(json!({"jwt:project_path": ["acme/*", "*"]}))), ["broad-trust"]);
    assert_eq!(codes(&[], role(json!({"jwt:project_path": "acme/*", "jwt:ref": "*"}))), [""; 0]);
    // `principal` counts as well, and its stars are no wildcards.
    let principal = json!({"principal": {"jwt:sub": "project_path:acme/shop:ref_type:branch:ref:main"},
                           "condition": {"StringEqual": {"jwt:iss": GITLAB}}});
    assert_eq!(codes(&[], principal), [""; 0]);
    // Other issuers beside the shared one do not help.
    let several = json!({"condition": {"StringEqual": {"jwt:iss": [OKTA, GITLAB]},
                                       "ForAnyValue:StringEqual": {"jwt:groups": "dev"}}});
    assert_eq!(codes(&[], several), ["broad-trust"]);
    // A pattern of issuers counts for those that are registered.
    let pattern = json!({"condition": {"StringLike": {"jwt:iss": "https://git*"}}});
    assert_eq!(codes(&[OKTA], pattern.clone()), [""; 0]);
    assert_eq!(codes(&[OKTA, GITLAB], pattern), ["broad-trust"]);
}

#[test]
fn a_role_that_grants_nothing_is_not_reviewed() {
    let gitlab = json!({"condition": {"StringEqual": {"jwt:iss": "https://gitlab.com"}}});
    let with = |statement: Value| {
        let mut documents = world(&[], gitlab.clone());
        documents[0] = object("Policy", "p", json!({"statement": [statement]}));
        codes_of(documents)
    };
    let allow = json!({"sid": "s", "effect": "Allow", "action": "*", "resource": "*"});
    assert_eq!(with(allow.clone()), ["broad-trust"]);
    let mut deny = allow.clone();
    deny["effect"] = json!("Deny");
    assert_eq!(with(deny), [""; 0]);
    // What the statement asks counts, if it narrows.
    let mut narrowed = allow;
    narrowed["condition"] = json!({"StringEqual": {"jwt:project_id": "7"}});
    assert_eq!(with(narrowed.clone()), [""; 0]);
    narrowed["condition"] = json!({"StringEqual": {"jwt:ref": "main"}});
    assert_eq!(with(narrowed), ["broad-trust"]);
    assert_eq!(codes(&[OKTA], json!({})), ["matches-nobody"]);
}

#[test]
fn a_role_names_its_issuer() {
    let groups = json!({"ForAnyValue:StringEqual": {"jwt:groups": "dev"}});
    let role = |iss: Value| {
        let mut condition = groups.clone();
        condition.as_object_mut().unwrap().extend(iss.as_object().unwrap().clone());
        json!({"condition": condition})
    };
    let unnamed = role(json!({}));
    assert_eq!(codes(&[], unnamed.clone()), [""; 0]);
    assert_eq!(codes(&["https://gateway"], unnamed.clone()), [""; 0], "our own is no issuer");
    assert_eq!(codes(&[OKTA, OKTA], unnamed.clone()), ["issuer-not-named"]);
    assert_eq!(codes(&[OKTA, "https://gitlab.com"], unnamed), ["issuer-not-named"]);
    for named in [
        json!({"StringEqual": {"jwt:iss": OKTA}}),
        json!({"StringLike": {"jwt:iss": "https://example.*"}}),
        json!({"StringEqualIgnoreCase": {"jwt:/iss": OKTA}}),
    ] {
        assert_eq!(codes(&[OKTA], role(named.clone())), [""; 0], "{named}");
    }
    for unnamed in [
        json!({"StringLike": {"jwt:iss": "*"}}),
        json!({"StringLike": {"jwt:iss": "https://*"}}),
        json!({"StringLike": {"jwt:iss": [OKTA, "https://*"]}}),
        json!({"StringNotEqual": {"jwt:iss": "https://gitlab.com"}}),
        json!({"StringEqualIfExists": {"jwt:iss": OKTA}}),
        json!({"StringEqual": {"jwt:aud": "x"}}),
        json!({"StringEqual": {"jwt:iss": "${jwt:sub}"}}),
    ] {
        assert_eq!(codes(&[OKTA], role(unnamed.clone())), ["issuer-not-named"], "{unnamed}");
    }
    let principal = json!({"principal": {"jwt:iss": OKTA, "jwt:sub": "alice"}});
    assert_eq!(codes(&[OKTA], principal), [""; 0]);
    assert_eq!(codes(&[OKTA], json!({"principal": {"jwt:sub": "alice"}})), ["issuer-not-named"]);
}

#[test]
fn patterns_that_fit_strangers() {
    for (claim, pattern, expected) in [
        ("sub", "*-admin", vec!["loose-pattern"]),
        ("sub", "?lice", vec!["loose-pattern"]),
        ("sub", "alice*", vec![]),
        ("sub", "*", vec![]),
        ("email", "*example.com", vec!["loose-pattern"]),
        ("email", "alice@*", vec!["loose-pattern"]),
        ("email", "*@example.*", vec!["loose-pattern"]),
        ("email", "*@", vec!["loose-pattern"]),
        ("email", "*.com", vec!["loose-pattern"]),
        ("email", "*@example.com", vec![]),
        ("email", "*.example.com", vec![]),
        ("email", "*@*.example.com", vec![]),
        ("email", "*", vec![]),
    ] {
        assert_eq!(
            named(OKTA, "StringLike", &format!("jwt:{claim}"), pattern),
            expected,
            "{claim} {pattern}"
        );
    }
    assert_eq!(named(OKTA, "StringEqual", "jwt:sub", "*-admin"), [""; 0]);
}

#[test]
fn github_subjects_by_name() {
    let role = |more: Value| {
        let mut equal = json!({"jwt:iss": GITHUB});
        equal.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"condition": {"StringEqual": equal, "StringLike": {"jwt:sub": "repo:acme/*"}}})
    };
    assert_eq!(codes(&[], role(json!({}))), ["renamable-subject"]);
    assert_eq!(codes(&[], role(json!({"jwt:repository_owner": "acme"}))), ["renamable-subject"]);
    assert_eq!(codes(&[], role(json!({"jwt:repository_owner_id": "42"}))), [""; 0]);
    assert_eq!(codes(&[], role(json!({"jwt:repository_id": 7}))), [""; 0]);
    assert_eq!(named(GITHUB, "StringLike", "jwt:sub", "repo:acme@42/*"), [""; 0]);
    assert_eq!(named(GITHUB, "StringEqual", "jwt:sub", "repo:acme/shop:environment:prod"), [""; 0]);
}

#[test]
fn addresses_that_nobody_proved() {
    let tenant = "https://login.microsoftonline.com/1fe37984-5987-2564-b4aa-99e587365024/v2.0";
    let rows = [
        (tenant, &["email_verified", "xms_edov"][..], &["oid", "sub", "groups", "roles"][..]),
        (
            "https://sts.windows.net/1fe37984-5987-2564-b4aa-99e587365024/",
            &["email_verified", "xms_edov"],
            &["oid", "sub", "groups", "roles"],
        ),
        ("https://accounts.google.com", &["email_verified"], &["sub", "hd"]),
        ("https://acme.eu.auth0.com/", &["email_verified"], &["sub"]),
    ];
    for (iss, proofs, identifying) in rows {
        let with = |operator: &str, key: &str, value: &str| {
            let mut condition = json!({"StringEqual": {"jwt:iss": iss},
                                       "StringLike": {"jwt:email": "*@example.com"}});
            condition[operator][format!("jwt:{key}")] = json!(value);
            codes(&[], json!({"condition": condition}))
        };
        assert_eq!(with("StringEqual", "name", "alice"), ["unverified-email"], "{iss}");
        for proof in proofs {
            assert_eq!(with("Bool", proof, "true"), [""; 0], "{iss} {proof}");
            assert_eq!(with("StringEqual", proof, "true"), [""; 0], "{iss} {proof}");
            assert_eq!(with("Bool", proof, "false"), ["unverified-email"], "{iss} {proof}");
            assert_eq!(with("BoolIfExists", proof, "true"), ["unverified-email"], "{iss} {proof}");
        }
        for claim in identifying {
            assert_eq!(with("StringEqual", claim, "x"), [""; 0], "{iss} {claim}");
        }
    }
    // Where the administrator gives out addresses, and where the claim is not what is asked.
    assert_eq!(named(OKTA, "StringLike", "jwt:email", "*@example.com"), [""; 0]);
    assert_eq!(named(tenant, "StringNotLike", "jwt:email", "*@example.com"), [""; 0]);
    assert_eq!(named(tenant, "StringLike", "jwt:email", "*"), [""; 0]);
}

#[test]
fn audiences_and_issuers_of_everybody() {
    let issuer =
        |iss: &str, aud: &str| codes_of(vec![object("JwtIssuer", "i", json!({"iss": iss, "aud": aud}))]);
    let bitbucket = "https://api.bitbucket.org/2.0/workspaces/acme/pipelines-config/identity/oidc";
    for (iss, aud) in [
        (GITHUB, "https://github.com/acme"),
        ("https://gitlab.com", "https://gitlab.com"),
        ("https://accounts.google.com", "32555940559.apps.googleusercontent.com"),
        (bitbucket, "ari:cloud:bitbucket::workspace/1-2"),
        ("https://agent.buildkite.com", "https://buildkite.com/acme"),
        ("https://app.terraform.io", "aws.workload.identity"),
    ] {
        assert_eq!(issuer(iss, aud), ["default-audience"], "{iss}");
        assert_eq!(issuer(iss, "https://gateway"), [""; 0], "{iss}");
        assert_eq!(issuer(OKTA, aud), [""; 0], "{aud}");
    }
    for iss in [
        "https://login.microsoftonline.com/common/v2.0",
        "https://login.microsoftonline.com/organizations/v2.0",
        "https://login.microsoftonline.com/{tenantid}/v2.0",
        "https://sts.windows.net/common/",
    ] {
        assert_eq!(issuer(iss, "x"), ["invalid-issuer"], "{iss}");
    }
    for iss in ["https://login.microsoftonline.com/1-2/v2.0", "https://idp/common/v2.0"] {
        assert_eq!(issuer(iss, "x"), [""; 0], "{iss}");
    }
}

#[test]
fn strict_closes_the_role_and_nothing_else() {
    let role = |more: Value| json!({"condition": {"StringEqual": more}});
    let broad = world(&["https://gitlab.com"], role(json!({"jwt:iss": "https://gitlab.com"})));
    let unnamed = world(&[OKTA], role(json!({"jwt:sub": "alice"})));
    let loose = world(
        &[OKTA],
        json!({"condition": {"StringEqual": {"jwt:iss": OKTA}, "StringLike": {"jwt:sub": "*a"}}}),
    );
    for (documents, closed) in [(broad, true), (unnamed, true), (loose, false)] {
        let (lenient, warnings) = compiled(documents.clone(), Federation::Lenient);
        let (strict, errors) = compiled(documents, Federation::Strict);
        assert_eq!((warnings.len(), errors.len()), (1, 1));
        assert_eq!(errors[0].severity == Severity::Error, closed);
        assert_eq!(strict.roles().next().unwrap().role.unreadable, closed);
        assert!(!lenient.roles().next().unwrap().role.unreadable);
        assert_ne!(lenient.revision, strict.revision);
    }
}
