//! The guides of `docs/federation` keep what they promise: their objects are valid, strictly too, and
//! their claims are decided as they say.
//!
//! The promises stand before a block of JSON, as comments:
//!
//! ```text
//! <!-- claims: allowed Function:Create dev:app; denied Function:Delete prod:app -->
//! <!-- with {"aud": "another", "hd": null}: refused -->
//! ```
//!
//! `refused` means that the token is not accepted at all; a null takes a claim away.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use faas_iam::compile::{Bundle, Federation, IssuerKeys, Snapshot, compile_with};
use faas_iam::crd::Defaults;
use faas_iam::decide::{Decision, Request, decide};
use faas_iam::identity::verify::{described, still_admitted};
use faas_iam::identity::{KeySet, OwnIssuer};
use faas_iam::policy::{Action, Context, Resource};
use faas_iam::source::files::read_documents;
use serde_json::{Map, Value};

/// A fenced block, and the comments that stand right before it.
struct Block {
    language: String,
    comments: Vec<String>,
    text: String,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/federation")
}

fn blocks(markdown: &str) -> Vec<Block> {
    let (mut blocks, mut comments, mut open): (Vec<Block>, Vec<String>, bool) =
        (Vec::new(), Vec::new(), false);
    for line in markdown.lines() {
        if let Some(language) = line.strip_prefix("```") {
            open = !open;
            if open {
                let comments = std::mem::take(&mut comments);
                blocks.push(Block { language: language.to_owned(), comments, text: String::new() });
            }
        } else if let (true, Some(block)) = (open, blocks.last_mut()) {
            block.text.push_str(line);
            block.text.push('\n');
        } else if let Some(comment) = line.strip_prefix("<!-- ").and_then(|line| line.strip_suffix(" -->")) {
            comments.push(comment.to_owned());
        } else {
            comments.clear();
        }
    }
    blocks
}

/// The objects of a guide; none of them has a problem.
fn snapshot(name: &str, blocks: &[Block], federation: Federation) -> Result<Snapshot> {
    let mut bundle = Bundle::default();
    for block in blocks.iter().filter(|block| block.language == "yaml") {
        read_documents(&block.text, name, &Defaults::default(), &mut bundle);
    }
    let own = OwnIssuer::new("https://gateway.example.com", KeySet::default().into());
    let (snapshot, diagnostics) = compile_with(&bundle, &IssuerKeys::new(), &own, federation);
    ensure!(diagnostics.is_empty(), "{diagnostics:#?}");
    let counts = snapshot.counts;
    ensure!(counts.issuers > 0 && counts.policies > 0 && counts.roles > 0, "objects are missing");
    Ok(snapshot)
}

/// Keeps the promises of one comment; tells how many there were.
fn check(comment: &str, claims: &Map<String, Value>, snapshot: &Snapshot) -> Result<usize> {
    let mut claims = claims.clone();
    let promises = match comment.strip_prefix("claims: ") {
        Some(promises) => promises,
        None => {
            let rest = comment.strip_prefix("with ").ok_or_else(|| anyhow!("neither `claims` nor `with`"))?;
            let (changes, promises) = rest.rsplit_once("}: ").ok_or_else(|| anyhow!("no promise"))?;
            let changes: Map<String, Value> = serde_json::from_str(&format!("{changes}}}"))?;
            claims.extend(changes);
            claims.retain(|_, value| !value.is_null());
            promises
        }
    };
    for promise in promises.split("; ") {
        let answer = answer(promise, &claims, snapshot)?;
        let promised = promise.split(' ').next().unwrap_or_default();
        ensure!(answer == promised, "`{promise}`: it is {answer}");
    }
    Ok(promises.split("; ").count())
}

fn answer(promise: &str, claims: &Map<String, Value>, snapshot: &Snapshot) -> Result<&'static str> {
    let principal = described(claims.clone())?;
    if still_admitted(&principal, &snapshot.issuers).is_err() {
        return Ok("refused");
    }
    let words: Vec<_> = promise.split(' ').collect();
    let [_, action, resource] = words.as_slice() else { bail!("the token is accepted; then what?") };
    let action = Action::parse(action).ok_or_else(|| anyhow!("`{action}` is no action"))?;
    let (namespace, name) = resource.split_once(':').ok_or_else(|| anyhow!("`{resource}` is no object"))?;
    let (resource, context) = (Resource::object(namespace, name), Context::default());
    let request = Request { principal: &principal, action, resource: &resource, context: &context };
    Ok(if matches!(decide(snapshot, &request), Decision::Allow(_)) { "allowed" } else { "denied" })
}

fn check_guide(name: &str, markdown: &str) -> Result<()> {
    for command in ["faas-iam validate --strict-federation", "faas-iam explain --policy-dir"] {
        ensure!(markdown.contains(command), "does not show how to check it: {command}");
    }
    let blocks = blocks(markdown);
    for federation in [Federation::Lenient, Federation::Strict] {
        let snapshot = snapshot(name, &blocks, federation)?;
        let mut promises = 0;
        for block in blocks.iter().filter(|block| block.language == "json") {
            let claims: Map<String, Value> = serde_json::from_str(&block.text)?;
            for comment in &block.comments {
                promises += check(comment, &claims, &snapshot).with_context(|| comment.clone())?;
            }
        }
        ensure!(promises >= 4, "promises {promises} decisions only");
    }
    Ok(())
}

#[test]
fn every_guide_keeps_what_it_promises() {
    let index = fs::read_to_string(folder().join("README.md")).unwrap();
    let mut guides = 0;
    for entry in fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if name == "README.md" {
            continue;
        }
        assert!(index.contains(&format!("({name})")), "the index does not name {name}");
        let markdown = fs::read_to_string(&path).unwrap();
        check_guide(&name, &markdown).unwrap_or_else(|error| panic!("{name}: {error:#}"));
        guides += 1;
    }
    assert_eq!(guides, 10);
}

#[test]
fn links_of_the_guides_lead_somewhere_and_codes_exist() {
    let codes = fs::read_to_string(folder().join("../../src/compile/diagnostic.rs")).unwrap();
    for entry in fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = link.split('#').next().unwrap();
            assert!(file.starts_with("https://") || folder().join(file).exists(), "{path:?}: {link}");
        }
        for code in text.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | ")) {
            let code = code.0;
            let is_code = path.ends_with("README.md") && code.contains('-');
            assert!(!is_code || codes.contains(&format!("\"{code}\"")), "{path:?}: {code}");
        }
    }
}
