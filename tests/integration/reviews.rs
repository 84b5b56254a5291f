//! `faas-iam can-i` and `who-can`: who may do what, without a request.

use std::fs;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::cli::{Ended, directory, faas_iam};

/// Alice may do all in `dev` but touch secrets; whoever has a team may deploy to the namespace of its
/// name; guests see a part of a list; interns are kept out of `dev`.
const OBJECTS: &str = r#"
apiVersion: iam.openfaas.com/v1
kind: JwtIssuer
metadata: {name: idp}
spec: {iss: "https://idp.example.com", aud: [openfaas]}
---
apiVersion: iam.openfaas.com/v1
kind: Policy
metadata: {name: dev}
spec:
  statement:
  - {sid: all, effect: Allow, action: ["*"], resource: ["dev:*"]}
  - {sid: secrets, effect: Deny, action: ["Secret:*"], resource: ["*"]}
---
apiVersion: iam.openfaas.com/v1
kind: Policy
metadata: {name: team}
spec:
  statement:
  - {sid: deploy, effect: Allow, action: ["Function:Create"], resource: ["${jwt:team}:*"]}
---
apiVersion: iam.openfaas.com/v1
kind: Policy
metadata: {name: guest}
spec:
  statement:
  - {sid: shop, effect: Allow, action: ["Function:List"], resource: ["prod:shop-*"]}
---
apiVersion: iam.openfaas.com/v1
kind: Policy
metadata: {name: keep-out}
spec:
  statement:
  - {sid: dev, effect: Deny, action: ["*"], resource: ["dev:*"]}
---
apiVersion: iam.openfaas.com/v1
kind: Role
metadata: {name: developers}
spec:
  policy: [dev]
  principal: {"jwt:sub": [alice], "jwt:iss": ["https://idp.example.com"]}
---
apiVersion: iam.openfaas.com/v1
kind: Role
metadata: {name: teams}
spec:
  policy: [team]
  condition: {StringEqual: {"jwt:iss": ["https://idp.example.com"]}, StringLike: {"jwt:team": ["?*"]}}
---
apiVersion: v1
kind: List
items:
- apiVersion: iam.openfaas.com/v1
  kind: Role
  metadata: {name: guests}
  spec:
    policy: [guest]
    principal: {"jwt:sub": [gerda], "jwt:iss": ["https://idp.example.com"]}
---
apiVersion: iam.openfaas.com/v1
kind: Role
metadata: {name: interns}
spec:
  policy: [keep-out]
  principal: {"jwt:sub": [ivan], "jwt:iss": ["https://idp.example.com"]}
"#;

fn world() -> Result<TempDir> {
    let dir = directory(&[("p/iam.yaml", OBJECTS)])?;
    for (name, more) in [("alice", json!({})), ("gerda", json!({})), ("tom", json!({"team": "blue"}))] {
        let mut claims = json!({"iss": "https://idp.example.com", "sub": name});
        let all = claims.as_object_mut().context("no object")?;
        all.extend(more.as_object().cloned().unwrap_or_default());
        fs::write(dir.path().join(format!("{name}.json")), claims.to_string())?;
    }
    fs::write(dir.path().join("stranger.json"), r#"{"iss": "https://other.example", "sub": "alice"}"#)?;
    Ok(dir)
}

fn can(who: &str, args: &[&str]) -> Result<Ended> {
    let claims = format!("--claims={who}.json");
    faas_iam(world()?.path(), &[&["can-i", "--policy-dir=p", &claims], args].concat())
}

fn who_can(args: &[&str]) -> Result<Ended> {
    faas_iam(world()?.path(), &[&["who-can", "--policy-dir=p"], args].concat())
}

#[test]
fn can_i_answers_as_the_service_would() -> Result<()> {
    let allowed = can("alice", &["Function:Delete", "dev:checkout"])?;
    allowed.says(0, &["allow: allowed"])?;
    allowed.says(0, &["statement  developers/dev/all decides"])?;
    let denied = can("alice", &["Secret:List", "dev:*"])?;
    denied.says(2, &["deny: explicit-deny"])?;
    denied.says(2, &["403 alice is denied Secret:List on dev:*"])?;
    denied.says(2, &["statement  developers/dev/secrets decides"])?;
    can("alice", &["Function:Get", "qa:checkout"])?.says(2, &["deny: no-matching-allow"])?;
    can("tom", &["Function:Create", "blue:checkout"])?.says(0, &["allow: allowed"])?;
    can("tom", &["Function:Create", "red:checkout"])?.says(2, &["deny: no-matching-allow"])?;
    // A list in part is refused by the service, a namespace of the system is closed, and a stranger is
    // nobody, whatever policies say.
    can("gerda", &["Function:List", "prod:*"])?.says(2, &["deny: filter-not-wired"])?;
    can("alice", &["Namespace:Get", "kube-system:*"])?.says(2, &["deny: system-namespace"])?;
    can("alice", &["--system-namespaces=dev", "Namespace:Get", "dev:*"])?
        .says(2, &["deny: system-namespace"])?;
    let stranger = can("stranger", &["Function:Delete", "dev:checkout"])?;
    stranger.says(2, &["deny: unknown-issuer"])?;
    let json: Value = serde_json::from_str(&can("alice", &["-o", "json", "Secret:List", "dev:*"])?.output)?;
    assert_eq!((&json["decision"], &json["reason"]), (&json!("deny"), &json!("explicit-deny")));
    assert_eq!(json["statements"], json!(["developers/dev/secrets"]));
    Ok(())
}

#[test]
fn who_can_names_roles_and_what_they_ask() -> Result<()> {
    let ended = who_can(&["Function:Create", "dev:checkout"])?;
    ended.says(0, &["Role openfaas/developers allows Function:Create on dev:checkout by dev/all"])?;
    ended.says(0, &[r#"  principal  {"jwt:iss":["https://idp.example.com"],"jwt:sub":["alice"]}"#])?;
    // A team may be called dev.
    ended.says(0, &["Role openfaas/teams allows Function:Create on dev:checkout by team/deploy"])?;
    ended.says(0, &["  condition  {", r#""StringLike":{"jwt:team":["?*"]}"#])?;
    ended.says(0, &["Role openfaas/interns denies Function:Create on dev:checkout by keep-out/dev"])?;
    ended.says(0, &["2 Roles may allow Function:Create on dev:checkout; a Deny outweighs them"])?;
    // A Role that is written in a List, and a list that may be seen in part.
    let part = who_can(&["Function:List", "prod:*"])?;
    part.says(0, &["Role openfaas/guests allows Function:List on prod:* by guest/shop"])?;
    part.says(0, &[r#"principal  {"#, "gerda"])?;
    // What the Role's own Deny takes away, nobody has by it.
    let secrets = who_can(&["Secret:List", "dev:*"])?;
    secrets.says(2, &["Role openfaas/developers denies Secret:List on dev:* by dev/secrets"])?;
    secrets.says(2, &["nobody: no Role allows Secret:List on dev:*"])?;
    who_can(&["Function:Get", "qa:checkout"])?.says(2, &["nobody: no Role allows"])?;
    who_can(&["Namespace:Get", "kube-system:*"])?.says(2, &["nobody: ", "namespace of the system"])?;
    let json: Value =
        serde_json::from_str(&who_can(&["-o", "json", "Function:Get", "dev:checkout"])?.output)?;
    assert_eq!(json["roles"][0]["role"], "developers");
    assert_eq!(json["roles"][0]["allows"], json!(["dev/all"]));
    assert_eq!(json["roles"][0]["asks"]["principal"]["jwt:sub"], json!(["alice"]));
    assert_eq!(
        json["roles"][1],
        json!({
            "namespace": "openfaas", "role": "interns", "mayAllow": false, "allows": [], "denies": ["keep-out/dev"],
            "asks": {"principal": {"jwt:sub": ["ivan"], "jwt:iss": ["https://idp.example.com"]}},
        })
    );
    Ok(())
}

/// Whoever may do something for certain matches a Role that `who-can` names.
#[test]
fn who_can_leaves_out_nobody_who_can() -> Result<()> {
    let dir = world()?;
    for resource in ["dev:checkout", "blue:checkout", "prod:shop-a", "qa:a"] {
        for action in ["Function:Create", "Function:Get", "Function:Delete", "Secret:Create"] {
            let ask = |args: &[&str]| {
                faas_iam(dir.path(), &[args, &["--policy-dir=p", "-o", "json", action, resource]].concat())
            };
            let named: Value = serde_json::from_str(&ask(&["who-can"])?.output)?;
            for who in ["alice", "gerda", "tom"] {
                let answer: Value =
                    serde_json::from_str(&ask(&["can-i", &format!("--claims={who}.json")])?.output)?;
                for statement in answer["statements"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter(|_| answer["decision"] == "allow")
                {
                    let role = statement.as_str().and_then(|text| text.split('/').next());
                    let is_named =
                        |found: &Value| found["role"].as_str() == role && found["mayAllow"] == true;
                    let roles = named["roles"].as_array().context("no roles")?;
                    anyhow::ensure!(roles.iter().any(is_named), "{statement} for {who} is not in {named}");
                }
            }
        }
    }
    Ok(())
}

#[test]
fn wrong_questions_end_with_64_and_the_cure() -> Result<()> {
    can("alice", &["Function:Remove", "dev:a"])?
        .says(64, &["ACTION: there is no action `Function:Remove`"])?;
    can("alice", &["Function:Delet", "dev:a"])?.says(64, &["did you mean `Function:Delete`?"])?;
    can("alice", &["Function:Delete", "dev:*"])?
        .says(64, &["RESOURCE: nobody asks for Function:Delete on `dev:*`: write NAMESPACE:NAME"])?;
    can("alice", &["Namespace:List", "dev:*"])?.says(64, &["write *:*"])?;
    who_can(&["System:Info", "dev:*"])?.says(64, &["RESOURCE: ", "write *"])?;
    who_can(&["System:Info"])?.says(64, &["<RESOURCE>"])?;
    faas_iam(world()?.path(), &["can-i", "--policy-dir=p", "System:Info", "*"])?
        .says(64, &["--claims <FILE>"])?;
    can("nobody", &["System:Info", "*"])?.says(1, &["--claims nobody.json: ", "No such file"])?;
    let missing = ["who-can", "--policy-dir=missing", "System:Info", "*"];
    faas_iam(world()?.path(), &missing)?.says(1, &["--policy-dir missing: ", "No such file"])
}

fn permissions(who: &str, args: &[&str]) -> Result<Ended> {
    let claims = format!("--claims={who}.json");
    faas_iam(world()?.path(), &[&["permissions", "--policy-dir=p", &claims], args].concat())
}

#[test]
fn permissions_are_a_matrix_of_actions_and_namespaces() -> Result<()> {
    let alice = permissions("alice", &["--namespaces=qa,kube-system"])?;
    alice.says(0, &["alice of https://idp.example.com"])?;
    alice.says(0, &["                  dev   kube-system  openfaas-fn  qa"])?;
    alice.says(0, &["Function:Delete   yes   no           no           no"])?;
    alice.says(0, &["Secret:Delete     no    no           no           no"])?;
    alice.says(0, &["Namespace:List    some"])?;
    alice.says(0, &["System:Info       no"])?;
    // Their own variables name namespaces, and a part is no whole.
    permissions("tom", &[])?.says(0, &["blue  openfaas-fn"])?;
    permissions("tom", &[])?.says(0, &["Function:Create   yes   no"])?;
    permissions("gerda", &[])?.says(0, &["Function:List     no           some"])?;
    permissions("stranger", &[])?.says(2, &["Function:List     no"])?;
    permissions("alice", &["--namespaces=a.b"])?.says(64, &["--namespaces: `a.b` is no namespace"])?;
    permissions("nobody", &[])?.says(1, &["--claims nobody.json: ", "No such file"])
}

/// What the matrix says of all objects is what `can-i` says of each.
#[test]
fn permissions_and_can_i_agree() -> Result<()> {
    let dir = world()?;
    let mut compared = 0;
    for who in ["alice", "gerda", "tom", "stranger"] {
        let claims = format!("--claims={who}.json");
        let ask = |args: &[&str]| -> Result<Value> {
            let ended = faas_iam(dir.path(), &[args, &["--policy-dir=p", "-o", "json", &claims]].concat())?;
            serde_json::from_str(&ended.output).with_context(|| ended.output.clone())
        };
        let matrix = ask(&["permissions", "--namespaces=dev,prod,blue"])?;
        for namespace in ["dev", "prod", "blue"] {
            for action in
                ["Function:Create", "Function:Delete", "Secret:Update", "Function:List", "Namespace:Get"]
            {
                let is_object = !matches!(action, "Function:List" | "Namespace:Get");
                let names: &[&str] = if is_object { &["a", "shop-a"] } else { &["*"] };
                for name in names {
                    let answer = ask(&["can-i", action, &format!("{namespace}:{name}")])?;
                    let expected = match matrix["namespaces"][namespace][action].as_str() {
                        Some("yes") => "allow",
                        Some("no") => "deny",
                        Some("some") if !is_object => "deny",
                        Some("some") => continue,
                        other => anyhow::bail!("{other:?} in {matrix}"),
                    };
                    assert_eq!(answer["decision"], expected, "{who} {action} {namespace}:{name}");
                    compared += 1;
                }
            }
        }
    }
    assert_eq!(compared, 96, "each cell is a comparison");
    Ok(())
}

/// What cannot be read is part of the answer.
#[test]
fn problems_of_the_objects_are_told() -> Result<()> {
    let dir = world()?;
    fs::write(dir.path().join("p/broken.yaml"), "kind: [\n")?;
    let question = ["--policy-dir=p", "Function:Get", "dev:checkout"];
    faas_iam(dir.path(), &[&["who-can"], &question[..]].concat())?
        .says(0, &["problem p/broken.yaml:1: error[unreadable-document]"])?;
    faas_iam(dir.path(), &[&["can-i", "--claims=alice.json"], &question[..]].concat())?
        .says(0, &["problem    p/broken.yaml:1: error[unreadable-document]"])
}
