//! The rules of the code, as tests.

#![expect(clippy::unwrap_used, reason = "a test that cannot read its sources must fail")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Modules that know no I/O, in the order of `lib.rs`; those after them may.
const PURE: &[&str] = &["reason", "json", "identity", "policy", "route", "compile", "decide", "envoy"];

/// What a pure module never names, and why it would.
const IMPURE: &[&str] = &[
    "tokio",
    "tonic",
    "kube::",
    "axum",
    "reqwest",
    "std::fs",
    "std::env",
    "std::net::Tcp",
    "std::process",
    "SystemTime",
    "Instant::now",
    "Timestamp::now",
    "tracing::",
    "println!",
    "envoy_types",
];

/// No file is longer than what one can hold in mind.
const MAX_LINES: usize = 520;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path.strip_prefix(root()).unwrap().to_owned(), text));
            }
        }
    }
    assert!(!found.is_empty(), "{folder} holds no sources");
    found
}

/// The top-level module that a file of `src` belongs to.
fn module_of(path: &Path) -> String {
    let first = path.iter().nth(1).unwrap().to_str().unwrap();
    first.trim_end_matches(".rs").to_owned()
}

/// The file without comments, and without its tests where they stand at the end.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

fn is_test(path: &Path) -> bool {
    path.starts_with("src/invariants")
        || path.components().any(|part| part.as_os_str() == "tests")
        || path.ends_with("tests.rs")
        || path.ends_with("test_issuer.rs")
}

fn module_order() -> Vec<String> {
    let lib = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let names = lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    names.map(str::to_owned).collect()
}

#[test]
fn a_module_uses_only_modules_above_it() {
    let order = module_order();
    assert_eq!(&order[..PURE.len()], PURE);
    let rank: BTreeMap<_, _> = order.iter().enumerate().map(|(i, name)| (name.clone(), i)).collect();
    let mut wrong = Vec::new();
    for (path, text) in sources("src") {
        let module = module_of(&path);
        let Some(&own) = rank.get(&module) else { continue };
        for used in code(&text).split("crate::").skip(1) {
            let used: String = used.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            if rank.get(&used).is_some_and(|&used| used > own) && !is_test(&path) {
                wrong.push(format!("{} uses {used}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_core_knows_no_io_no_clock_and_no_log() {
    let mut wrong = Vec::new();
    for (path, text) in sources("src") {
        if !PURE.contains(&module_of(&path).as_str()) || is_test(&path) {
            continue;
        }
        let code = code(&text);
        wrong.extend(
            IMPURE
                .iter()
                .filter(|word| code.contains(*word))
                .map(|word| format!("{}: {word}", path.display())),
        );
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// In the protocol the empty response allows, so one file makes all of them and no other place can.
/// `invariants` takes them apart; it is in no build that serves.
#[test]
fn check_responses_are_made_in_one_file() {
    const MAKER: &str = "src/transport/ext_authz/response.rs";
    let makes = |text: &str| {
        ["CheckResponse {", "CheckResponse::", "OkHttpResponse", "DeniedHttpResponse"]
            .iter()
            .any(|word| code(text).replace("Response<CheckResponse>", "").contains(word))
    };
    let serves = |path: &Path| module_of(path) != "invariants";
    let makers: Vec<_> = sources("src")
        .into_iter()
        .filter(|(path, text)| serves(path) && !is_test(path) && makes(text))
        .map(|(path, _)| path)
        .collect();
    assert_eq!(makers, [Path::new(MAKER)]);
    let text = code(&fs::read_to_string(root().join(MAKER)).unwrap());
    assert_eq!(text.matches("CheckResponse {").count(), 2, "its signature and one literal");
    assert!(text.contains("status: Some(status)"));
    assert!(!text.contains("CheckResponse::"), "neither new() nor default() has a status");
}

/// The API of the cluster is one source among others, and where its objects' problems are told.
#[test]
fn kube_is_known_to_its_source_and_to_reports_alone() {
    for (path, text) in sources("src") {
        let knows =
            code(&text).split_whitespace().any(|word| word.trim_start_matches('&').starts_with("kube::"));
        assert!(
            !knows
                || path.starts_with("src/source/kubernetes")
                || path.starts_with("src/report")
                || path.ends_with("kubernetes.rs"),
            "{path:?}"
        );
    }
}

/// An Allow is proven by a `Permit`, and only the decision makes those.
#[test]
fn permits_are_made_by_the_decision_alone() {
    let makes = |text: &str| ["Permit {", "Permit::"].iter().any(|word| code(text).contains(word));
    for (path, text) in sources("src") {
        assert!(
            !makes(&text) || path.starts_with("src/decide") || path == Path::new("src/decide.rs"),
            "{path:?}"
        );
    }
}

#[test]
fn no_file_is_too_long() {
    let folders = ["src", "tests", "examples", "benches"];
    let files =
        folders.iter().filter(|folder| root().join(folder).exists()).flat_map(|folder| sources(folder));
    let long: Vec<_> = files
        .map(|(path, text)| (path, text.lines().count()))
        .filter(|(_, lines)| *lines > MAX_LINES)
        .collect();
    assert!(long.is_empty(), "{long:#?}");
}

#[test]
fn nothing_is_left_undone_or_ignored() {
    let words = [
        concat!("todo", "!("),
        concat!("unimpl", "emented!("),
        concat!("#[ig", "nore"),
        concat!("dbg", "!("),
    ];
    for folder in ["src", "tests", "examples"] {
        for (path, text) in sources(folder) {
            for word in words {
                assert!(!text.contains(word), "{}: {word}", path.display());
            }
        }
    }
}

#[test]
fn shipped_objects_are_valid() {
    for folder in ["manifests/examples/tenants.yaml", "examples/demo/policies"] {
        let bundle = faas_iam::source::files::load(&root().join(folder), &Default::default()).unwrap();
        let own = faas_iam::identity::OwnIssuer::new("https://gateway.example.com", Default::default());
        let (snapshot, diagnostics) = faas_iam::compile::compile(&bundle, &Default::default(), &own);
        assert!(diagnostics.is_empty(), "{diagnostics:#?}");
        assert!(snapshot.counts.roles > 0, "{folder}");
    }
}

#[test]
fn the_readme_shows_the_two_commands_and_links_that_lead_somewhere() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    assert!(readme.contains("make demo") && readme.contains("make test"));
    for document in ["README.md", "ARCHITECTURE.md"] {
        let text = fs::read_to_string(root().join(document)).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let path = link.split('#').next().unwrap();
            assert!(
                link.starts_with("https://") || path.is_empty() || root().join(path).exists(),
                "{document}: {link} leads nowhere"
            );
        }
    }
}
