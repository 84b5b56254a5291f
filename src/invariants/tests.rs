//! The corpora, without a fuzzer.

use std::fs;
use std::path::{Path, PathBuf};

use super::*;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files(folder: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join(folder)).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// Runs a target on an input, which is named where it fails.
fn hold(target: Target, name: &str, input: &[u8]) -> bool {
    let outcome = std::panic::catch_unwind(|| target(input));
    outcome.unwrap_or_else(|_| panic!("{name} does not hold"))
}

#[test]
fn every_corpus_holds() {
    for (name, target) in TARGETS {
        let files = files(&format!("fuzz/corpus/{name}"));
        assert!(files.len() >= 10, "{name}: {} files", files.len());
        let hold = |file: &PathBuf| hold(*target, &file.display().to_string(), &fs::read(file).unwrap());
        let accepted = files.iter().filter(|file| hold(file)).count();
        assert!(accepted >= 3 && accepted + 3 <= files.len(), "{name}: {accepted} of {}", files.len());
    }
}

#[test]
fn every_target_is_built_and_has_a_corpus() {
    let mut folders: Vec<_> =
        files("fuzz/corpus").iter().map(|path| path.file_name().unwrap().to_owned()).collect();
    let names: Vec<_> = TARGETS.iter().map(|(name, _)| std::ffi::OsString::from(name)).collect();
    folders.sort();
    assert_eq!(folders, names);
    let manifest = fs::read_to_string(root().join("fuzz/Cargo.toml")).unwrap();
    for (name, _) in TARGETS {
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name} is not built");
        let target = fs::read_to_string(root().join(format!("fuzz/targets/{name}.rs"))).unwrap();
        assert!(target.contains(&format!("faas_iam::invariants::{name}(")), "{name} runs something else");
    }
}

#[test]
fn the_decisions_of_the_documentation_hold() {
    let is_yaml = |file: &PathBuf| file.extension().is_some_and(|extension| extension == "yaml");
    for file in files("tests/decisions").into_iter().filter(is_yaml) {
        let readable = hold(policy, &file.display().to_string(), &fs::read(&file).unwrap());
        assert!(readable || file.ends_with("unreadable-documents.yaml"), "{}", file.display());
    }
}

/// The requests that the readers of the gateway and of the providers are compared on.
#[test]
fn the_requests_of_the_comparison_hold() {
    for file in ["attacks.txt", "clients.txt"] {
        let text = fs::read_to_string(root().join("tests/interop/corpus").join(file)).unwrap();
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let mut parts = line.splitn(3, ' ');
            let (method, target) = (parts.next().unwrap(), parts.next().unwrap());
            let content = parts.next().unwrap_or_default();
            for authorization in ["", "authorization: Bearer {api}\n", "authorization: Bearer {function}\n"] {
                let request = format!("{method} {target}\n{authorization}\n{content}");
                hold(route, line, request.as_bytes());
                hold(check, line, request.as_bytes());
            }
            hold(body, line, content.as_bytes());
        }
    }
}

/// How many changed forms of each input are tried; a fuzzer tries millions.
const CHANGED: usize = 40;

/// A small generator of numbers (splitmix64).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) as usize % limit.max(1)
    }
}

/// One to three times: a piece of another input, or of the same, takes the place of a piece.
fn changed(input: &[u8], others: &[Vec<u8>], numbers: &mut Numbers) -> Vec<u8> {
    let mut input = input.to_vec();
    for _ in 0..=numbers.below(3) {
        let other = &others[numbers.below(others.len())];
        let from = numbers.below(other.len());
        let piece = other[from..(from + numbers.below(24)).min(other.len())].to_vec();
        let at = numbers.below(input.len());
        let end = (at + numbers.below(12)).min(input.len());
        input.splice(at..end, piece);
    }
    input
}

#[test]
fn changed_forms_of_every_corpus_hold() {
    for (name, target) in TARGETS {
        let inputs: Vec<_> =
            files(&format!("fuzz/corpus/{name}")).iter().map(|file| fs::read(file).unwrap()).collect();
        let mut numbers = Numbers(1);
        for input in &inputs {
            for _ in 0..CHANGED {
                let input = changed(input, &inputs, &mut numbers);
                hold(*target, &format!("{name}: {}", String::from_utf8_lossy(&input)), &input);
            }
        }
    }
}
