//! `faas-iam test` on policies of a user: what it finds, how it tells, and what it says of tests that
//! cannot be read.

use std::fs;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::cli::{Ended, ISSUER, POLICY, ROLE, directory, faas_iam};

/// Tests of what [`repository`] holds beside them.
const TESTS: &str = r#"# Beside the policies.
apiVersion: faas-iam/v1alpha1
kind: DecisionTest
objectsFrom: [..]
identities:
  alice: {iss: "https://idp.example.com", aud: openfaas, sub: alice}
cases:
- name: alice lists
  identity: alice
  request: {method: GET, path: "/system/functions?namespace=dev"}
  expect: {decision: allow}
- name: alice is denied secrets
  identity: alice
  request: {action: "Secret:List", resource: "dev:*"}
  expect: {decision: deny, reason: explicit-deny}
"#;

/// A directory of policies, and `tests` in one below it.
fn repository(tests: &str) -> Result<TempDir> {
    let secrets = "  - {sid: secrets, effect: Deny, action: ['Secret:*'], resource: ['dev:*']}\n  - {sid: prod, effect: Deny, action: ['*'], resource: ['prod:*']}\n";
    let policy = format!("{POLICY}{secrets}");
    let iam = [ISSUER, &policy, ROLE].join("---\n");
    directory(&[("policies/iam.yaml", &iam), ("policies/tests/dev.yaml", tests)])
}

/// Runs tests of [`repository`], written as `tests`.
fn test(tests: &str, args: &[&str]) -> Result<Ended> {
    let dir = repository(tests)?;
    faas_iam(dir.path(), &[&["test"], args].concat())
}

fn json_of(ended: &Ended) -> Result<Value> {
    serde_json::from_str(&ended.output).with_context(|| ended.output.clone())
}

#[test]
fn tests_stand_beside_the_policies_and_are_none_of_them() -> Result<()> {
    let dir = repository(TESTS)?;
    let ended = faas_iam(dir.path(), &["test", "policies"])?;
    ended.says(0, &["ok    policies/tests/dev.yaml: 2 cases"])?;
    // What was passed over is counted.
    ended.says(0, &["1 file, 2 cases: 2 hold, 0 fail; 1 file without tests"])?;
    // One file that is named twice is run once.
    faas_iam(dir.path(), &["test", "policies", "policies/tests/dev.yaml"])?.says(0, &["1 file, 2 cases"])?;
    faas_iam(dir.path(), &["validate", "policies"])?.says(0, &["0 errors, 0 warnings"])?;
    // From another directory the same: paths are those of the test file.
    faas_iam(&dir.path().join("policies/tests"), &["test", "dev.yaml"])?.says(0, &["2 hold"])
}

#[test]
fn a_case_that_fails_says_what_came_and_why() -> Result<()> {
    let tests = TESTS.replace("decision: allow", "decision: deny, reason: no-matching-role, status: 403");
    let ended = test(&tests, &["policies"])?;
    ended.says(1, &["FAIL  policies/tests/dev.yaml: 2 cases, 1 failed"])?;
    ended.says(1, &["policies/tests/dev.yaml: case `alice lists`"])?;
    ended.says(1, &["expected   {decision: deny, reason: no-matching-role, status: 403}"])?;
    ended.says(1, &["answered   {decision: allow, reason: allowed, statements: [developers/dev/all]}"])?;
    ended.says(1, &["statement  developers/dev/all decides (ROLE/POLICY/SID), at policies/iam.yaml:6"])?;
    ended.says(1, &["1 file, 2 cases: 1 holds, 1 fails"])?;
    // A refusal says what would have been needed.
    let tests = TESTS.replace("namespace=dev", "namespace=qa");
    let ended = test(&tests, &["policies"])?;
    ended
        .says(1, &["answered   {decision: deny, reason: no-matching-allow, status: 403, statements: []}"])?;
    ended.says(1, &["message    alice needs Function:List on qa:*"])
}

/// Each part of an expectation counts, and the statements in full.
#[test]
fn every_part_of_an_expectation_can_fail() -> Result<()> {
    let expect =
        |expected: &str| test(&TESTS.replace("{decision: allow}", &format!("{{{expected}}}")), &["policies"]);
    expect("decision: allow, reason: allowed, statements: [developers/dev/all]")?.says(0, &["2 hold"])?;
    for wrong in [
        "decision: deny",
        "decision: filter",
        "decision: allow, reason: public-route",
        "decision: allow, status: 200",
        "decision: allow, statements: []",
        "decision: allow, statements: [developers/dev/other]",
        "decision: allow, statements: [developers/dev/all, developers/dev/secrets]",
    ] {
        expect(wrong)?.says(1, &["1 holds, 1 fails"]).context(wrong)?;
    }
    Ok(())
}

#[test]
fn problems_of_the_objects_fail() -> Result<()> {
    let run = |iam: &str, tests: &str| {
        let dir = repository(tests)?;
        let (file, text) = (dir.path().join("policies/iam.yaml"), [ISSUER, POLICY, ROLE].join("---\n"));
        fs::write(file, text + iam)?;
        faas_iam(dir.path(), &["test", "policies"])
    };
    let tests = TESTS.replace("deny, reason: explicit-deny", "deny");
    run("", &tests)?.says(0, &["2 hold"])?;
    let unread = "---\nkind: Role\nspec: [\n";
    run(unread, &tests)?.says(3, &["unexpected policies/iam.yaml:", "error[unreadable-document]"])?;
    // Warnings of objects elsewhere are for `validate`, unless the tests speak of problems at all.
    let ignored = "---\napiVersion: v1\nkind: Secret\n";
    run(ignored, &tests)?.says(0, &["2 hold"])?;
    let speaks = tests.replace("cases:", "expectDiagnostics: []\ncases:");
    run(ignored, &speaks)?.says(1, &["unexpected policies/iam.yaml:", "warning[ignored-kind]"])?;
    let expected = "expectDiagnostics: [{object: null, code: ignored-kind, severity: warning}]\ncases:";
    let expects = tests.replace("cases:", expected);
    run(ignored, &expects)?.says(0, &["2 hold"])?;
    run("", &expects)?.says(1, &["missing    {object: null, field: \"\", code: ignored-kind"])
}

#[test]
fn strict_federation_is_that_of_the_service() -> Result<()> {
    let dir = repository(TESTS)?;
    let iam = dir.path().join("policies/iam.yaml");
    fs::write(&iam, fs::read_to_string(&iam)?.replace(", 'jwt:iss': ['https://idp.example.com']", ""))?;
    faas_iam(dir.path(), &["test", "policies"])?.says(0, &["2 hold"])?;
    faas_iam(dir.path(), &["test", "--strict-federation", "policies"])?
        .says(3, &["unexpected policies/iam.yaml:", "error[issuer-not-named] Role openfaas/developers"])
}

#[test]
fn coverage_names_the_statements_on_which_no_case_rests() -> Result<()> {
    let ended = test(TESTS, &["--coverage", "policies"])?;
    ended.says(0, &["coverage: cases rest on 2 of 3 statements"])?;
    ended.says(0, &["no case rests on prod of Policy openfaas/dev, at policies/iam.yaml:6"])?;
    let report = json_of(&test(TESTS, &["--coverage", "--output=json", "policies"])?)?;
    let undecided = json!([{"origin": "policies/iam.yaml:6", "policy": "openfaas/dev", "sid": "prod"}]);
    assert_eq!(report["coverage"], json!({"statements": 3, "undecided": undecided}));
    assert_eq!(report["files"][0]["cases"][1]["answered"]["statements"], json!(["developers/dev/secrets"]));
    Ok(())
}

#[test]
fn junit_tells_failures_and_what_cannot_be_read() -> Result<()> {
    let tests = TESTS
        .replace("alice lists", "\"<a> & \\\"b\\\" \\u0001\"")
        .replace("decision: allow", "decision: deny");
    let dir = repository(&tests)?;
    fs::write(dir.path().join("other.yaml"), "kind: DecisionTest\n")?;
    let ended = faas_iam(dir.path(), &["test", "-o", "junit", "policies", "other.yaml"])?;
    ended
        .says(3, &["<testsuite name=\"policies/tests/dev.yaml\" tests=\"3\" failures=\"1\" errors=\"0\">"])?;
    let name = "name=\"&lt;a&gt; &amp; &quot;b&quot; \u{fffd}\">";
    ended.says(3, &["<testcase classname=\"policies/tests/dev.yaml\" ", name])?;
    ended.says(3, &["<failure message=\"expected {decision: deny}, answered {decision: allow,"])?;
    ended.says(3, &["<testsuite name=\"other.yaml\" tests=\"1\" failures=\"0\" errors=\"1\">"])?;
    ended.says(3, &["<error message=\"other.yaml:1: `` has no kind `DecisionTest`"])?;
    let mut reader = quick_xml_events(&ended.output)?;
    reader.retain(|name| name != "testcase");
    assert_eq!(reader, ["testsuites", "testsuite", "failure", "testsuite", "error"]);
    Ok(())
}

/// The elements of a document that an XML reader makes sense of.
fn quick_xml_events(text: &str) -> Result<Vec<String>> {
    let (mut reader, mut names, mut open) = (quick_xml::Reader::from_str(text), Vec::new(), 0);
    loop {
        let name = match reader.read_event()? {
            quick_xml::events::Event::Start(element) => {
                open += 1;
                element.name().as_ref().to_owned()
            }
            quick_xml::events::Event::Empty(element) => element.name().as_ref().to_owned(),
            quick_xml::events::Event::End(_) => {
                open -= 1;
                continue;
            }
            quick_xml::events::Event::Eof => break,
            _ => continue,
        };
        names.push(name);
    }
    ensure!(open == 0, "{open} elements are left open");
    Ok(names)
}

/// What is written wrong, in place of what, and what is said of it.
const WRONG: &[(&str, &str, &[&str])] = &[
    ("identity: alice", "identty: alice", &["dev.yaml:9: unknown field `identty`", "identity"]),
    (
        "  identity: alice",
        "  identity: alce",
        &["case `alice lists`: identity: ", "`alce`", "did you mean `alice`?"],
    ),
    (
        "kind: DecisionTest",
        "kind: DecisonTest",
        &["dev.yaml:2: ", "no kind `DecisonTest`", "kind: DecisionTest"],
    ),
    ("v1alpha1", "v1", &["dev.yaml:2: `faas-iam/v1` has no kind", "apiVersion: faas-iam/v1alpha1"]),
    (
        "[..]",
        "[nowhere]",
        &["dev.yaml: objectsFrom[0]: policies/tests/nowhere cannot be read: ", "test file's own directory"],
    ),
    ("objectsFrom: [..]", "objectsFrom: []", &["dev.yaml: there are no objects to test: ", "`objectsFrom`"]),
    (
        "Secret:List",
        "Secret:Lst",
        &["case `alice is denied secrets`: request.action: ", "did you mean `Secret:List`?"],
    ),
    (
        "Secret:List",
        "secrets",
        &["request.action: there is no action `secrets`", "write one of Function:List, "],
    ),
    ("dev:*", "dev", &["request.resource: nobody asks for Secret:List on `dev`: write NAMESPACE:*"]),
    ("{method: GET, ", "{", &["case `alice lists`: request: write `method` and `path`, or `action`"]),
    ("decision: allow", "decision: alow", &["dev.yaml:11: unknown variant `alow`", "allow"]),
    ("explicit-deny", "explicit", &["expect.reason: ", "did you mean `explicit-deny`?"]),
    (", sub: alice", "", &["case `alice lists`: identity: ", "no sub"]),
    ("cases:", "cases: [", &["dev.yaml:8: cannot be parsed as YAML: "]),
    ("{method", "{time: noon, method", &["request.time: `noon`: ", "such as 2026-01-15T12:00:00Z"]),
    ("{method", "{sourceIp: 10.0.0, method", &["dev.yaml:10: ", "IP address"]),
    ("cases:", "  bob: {}\ncases:", &["identities.bob: nobody asks as `bob`: remove it"]),
    ("cases:", "settings: {provider: k8s}\ncases:", &["dev.yaml:7: unknown variant `k8s`", "faas-netes"]),
    (
        "cases:",
        "settings: {defaultNamespace: kube-system}\ncases:",
        &["settings.defaultNamespace: `kube-system` is no namespace for functions"],
    ),
    ("alice is denied secrets", "alice lists", &["cases: two are called `alice lists`: rename one"]),
    (
        "  expect: {decision: allow}",
        "  without: [email]\n  expect: {decision: allow}",
        &["without: `alice` has no claim `email`"],
    ),
];

#[test]
fn tests_that_cannot_be_read_name_file_field_and_cure() -> Result<()> {
    for (right, wrong, told) in WRONG {
        ensure!(TESTS.contains(right), "{right} is in no test");
        let ended = test(&TESTS.replacen(right, wrong, 1), &["policies/tests/dev.yaml"])?;
        ended.says(3, &[&["error policies/tests/"], *told].concat()).context(*wrong)?;
        ended.says(3, &["0 files, 0 cases: 0 hold, 0 fail; 1 file cannot be read"])?;
    }
    let (head, _) = TESTS.split_once("identities:").context("no identities")?;
    test(&format!("{head}cases: []\n"), &["policies"])?.says(3, &["dev.yaml:2: cases: there are none"])?;
    test(head, &["policies"])?.says(3, &["missing field `cases`"])?;
    let listed = "apiVersion: v1\nkind: List\nitems: [{kind: DecisionTest}]\n";
    test(listed, &["policies"])?.says(3, &["dev.yaml:1: a List may hold a DecisionTest"])?;
    test(&format!("{TESTS}---\n{TESTS}"), &["policies"])?
        .says(3, &["dev.yaml:18: is a second DecisionTest"])?;
    let dir = repository(&TESTS.replace("[..]", "[.., ../../empty]"))?;
    fs::create_dir(dir.path().join("empty"))?;
    faas_iam(dir.path(), &["test", "policies"])?.says(3, &["objectsFrom[1]: empty holds no objects"])?;
    test("", &["policies"])?.says(3, &["error policies: holds no tests: write a document of the kind"])?;
    test(TESTS, &["policies/iam.yaml"])?.says(3, &["error policies/iam.yaml: holds no tests"])?;
    test(TESTS, &["missing"])?.says(3, &["error missing: No such file", "name a file with tests"])?;
    test(TESTS, &[])?.says(64, &["<DIR|FILE>"])?;
    test(TESTS, &["--output=xml", "policies"])?.says(64, &["invalid value 'xml'", "--output"])?;
    test(TESTS, &["--coverage", "--output=junit", "policies"])?
        .says(64, &["--coverage has no place in JUnit"])
}

/// One that cannot be read does not hide the others, and what is passed over is no test for certain.
#[test]
fn every_file_is_told_of() -> Result<()> {
    let dir = repository(TESTS)?;
    fs::create_dir(dir.path().join("more"))?;
    fs::write(dir.path().join("more/a.yaml"), "kind: DecisionTest\nspec: [\n")?;
    std::os::unix::fs::symlink("nowhere", dir.path().join("more/b.yaml"))?;
    let ended = faas_iam(dir.path(), &["test", "more", "policies", "missing"])?;
    ended.says(3, &["ok    policies/tests/dev.yaml: 2 cases"])?;
    ended.says(3, &["error more/a.yaml:2: cannot be parsed as YAML"])?;
    ended.says(3, &["error more/b.yaml: cannot be read: "])?;
    ended.says(3, &["error missing: "])?;
    ended.says(3, &["; 3 files cannot be read; 1 file without tests"])
}

/// A repository of 2,000 policies with 200 files of tests; the figures are printed.
#[test]
fn a_large_repository_is_tested_while_a_person_watches() -> Result<()> {
    let dir = repository(TESTS)?;
    let write = |path: String, text: String| fs::write(dir.path().join(Path::new(&path)), text);
    for i in 0..1000 {
        let (policy, role) = (
            POLICY.replace("name: dev", &format!("name: p{i}")),
            ROLE.replace("developers", &format!("r{i}")),
        );
        write(format!("policies/p{i}.yaml"), policy)?;
        write(format!("policies/r{i}.yaml"), role.replace("[dev]", &format!("[p{i}]")))?;
    }
    for i in 0..200 {
        write(format!("policies/tests/t{i}.yaml"), TESTS.to_owned())?;
    }
    let begin = Instant::now();
    let ended = faas_iam(dir.path(), &["test", "policies"])?;
    ended.says(0, &["201 files, 402 cases: 402 hold, 0 fail; 2001 files without tests"])?;
    println!("2,001 files of policies, 201 of tests with 402 cases: {:?}, this build", begin.elapsed());
    Ok(())
}
