//! A directory of YAML files, as a [`Bundle`].
//!
//! Every `*.yaml` and `*.yml` file counts that does not begin with a dot, in subdirectories too;
//! symbolic links are followed, so that a mounted ConfigMap works. A file may hold several documents;
//! one that cannot be parsed closes what is in it and leaves the others in force.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::Watcher;
use tokio::sync::mpsc;

use super::yaml::{self, Malformed};
use crate::compile::{Bundle, Code, Diagnostic, Severity};
use crate::crd::{self, Defaults};

/// A burst of changes is over when nothing has changed for this long.
const QUIET: Duration = Duration::from_millis(50);
/// A burst that does not end is read all the same after this long.
const LONGEST_BURST: Duration = Duration::from_millis(500);
/// The directory is read again this often even if no change was reported (network file systems).
const RESCAN: Duration = Duration::from_secs(5);

/// Reads a directory, or one file.
///
/// # Errors
/// The path itself cannot be opened. What is wrong below it becomes a diagnostic.
pub fn load(path: &Path, defaults: &Defaults) -> io::Result<Bundle> {
    let mut bundle = Bundle::default();
    let mut files = Vec::new();
    if path.is_dir() {
        list(path, &mut BTreeSet::new(), &mut files, &mut bundle)?;
    } else {
        std::fs::metadata(path)?;
        files.push(path.to_owned());
    }
    files.sort();
    for file in files {
        read_file(&file, defaults, &mut bundle);
    }
    Ok(bundle)
}

/// Adds the files below `directory`. Links may lead in a circle: no directory is read twice.
fn list(
    directory: &Path,
    visited: &mut BTreeSet<PathBuf>,
    files: &mut Vec<PathBuf>,
    bundle: &mut Bundle,
) -> io::Result<()> {
    if !visited.insert(directory.canonicalize()?) {
        return Ok(());
    }
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        if path.is_dir() {
            list(&path, visited, files, bundle).unwrap_or_else(|error| unreadable(&path, &error, bundle));
        } else if path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml") {
            files.push(path);
        }
    }
    Ok(())
}

fn unreadable(path: &Path, error: &io::Error, bundle: &mut Bundle) {
    bundle.unreadable_part = true;
    bundle.diagnostics.push(Diagnostic {
        origin: path.display().to_string(),
        object: None,
        field: String::new(),
        severity: Severity::Error,
        code: Code::UnreadableFile,
        message: format!("cannot be read: {error}"),
    });
}

fn read_file(path: &Path, defaults: &Defaults, bundle: &mut Bundle) {
    match std::fs::read_to_string(path) {
        Ok(text) => read_documents(&text, &path.display().to_string(), defaults, bundle),
        Err(error) => unreadable(path, &error, bundle),
    }
}

/// Reads the YAML documents of a text. `name` says where it stands in diagnostics.
pub fn read_documents(text: &str, name: &str, defaults: &Defaults, bundle: &mut Bundle) {
    for (first_line, document) in documents(text) {
        let origin = |line: usize| format!("{name}:{line}");
        match yaml::parse(&document) {
            Ok(value) => crd::read(value, &origin(first_line), defaults, bundle),
            Err(Malformed { line, message }) => {
                bundle.unreadable_part = true;
                bundle.diagnostics.push(Diagnostic {
                    origin: origin(first_line + line.saturating_sub(1)),
                    object: None,
                    field: String::new(),
                    severity: Severity::Error,
                    code: Code::UnreadableDocument,
                    message,
                });
            }
        }
    }
}

/// Splits a text into its documents, each with the number of its first line. Lines that begin with
/// `---` separate documents wherever they stand (YAML 1.2.2, section 9.1.2), so that a broken
/// document cannot swallow the next.
fn documents(text: &str) -> Vec<(usize, String)> {
    let mut documents = vec![(1, String::new())];
    for (i, line) in text.lines().enumerate() {
        let marker = line.strip_prefix("---").filter(|rest| rest.is_empty() || rest.starts_with([' ', '\t']));
        if let Some(rest) = marker {
            documents.push((i + 1, format!("   {rest}")));
        } else if let Some((_, document)) = documents.last_mut() {
            document.push_str(line);
        }
        if let Some((_, document)) = documents.last_mut() {
            document.push('\n');
        }
    }
    let blank = |line: &str| matches!(line.trim_start().chars().next(), None | Some('#')) || line == "...";
    documents.retain(|(_, document)| !document.lines().all(blank));
    documents.iter_mut().for_each(|(first_line, document)| {
        // Name the line on which something stands.
        let skipped = document.lines().take_while(|line| blank(line)).count();
        *document = document.lines().skip(skipped).collect::<Vec<_>>().join("\n");
        *first_line += skipped;
    });
    documents
}

/// Calls `changed` with the directory's objects whenever they may have changed, until it is dropped.
/// A burst of changes gives one call.
///
/// # Errors
/// The directory cannot be watched.
pub async fn watch(
    directory: PathBuf,
    defaults: Defaults,
    mut changed: impl FnMut(io::Result<Bundle>) + Send,
) -> notify::Result<()> {
    let (sender, mut events) = mpsc::channel(1);
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Reading a file is no change of it. One waiting event is enough: all are read together.
        if event.map_or(true, |event| !event.kind.is_access()) {
            let _full = sender.try_send(());
        }
    })?;
    watcher.watch(&directory, notify::RecursiveMode::Recursive)?;
    loop {
        let (path, defaults) = (directory.clone(), defaults.clone());
        match tokio::task::spawn_blocking(move || load(&path, &defaults)).await {
            Ok(loaded) => changed(loaded),
            Err(error) => changed(Err(io::Error::other(error))),
        }
        let _rescan = tokio::time::timeout(RESCAN, events.recv()).await;
        let quiet = async { while let Ok(Some(())) = tokio::time::timeout(QUIET, events.recv()).await {} };
        let _endless = tokio::time::timeout(LONGEST_BURST, quiet).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str =
        "apiVersion: iam.openfaas.com/v1\nkind: Policy\nmetadata: {name: NAME}\nspec: {statement: []}\n";

    fn policy(name: &str) -> String {
        POLICY.replace("NAME", name)
    }

    fn names(bundle: &Bundle) -> Vec<&str> {
        bundle.policies.iter().map(|policy| policy.reference.name.as_str()).collect()
    }

    #[test]
    fn a_broken_document_closes_only_itself_and_names_its_line() {
        let text = format!("# first\n---\n{}---\nkind: [\n---\n{}", policy("a"), policy("b"));
        let mut bundle = Bundle::default();
        read_documents(&text, "x.yaml", &Defaults::default(), &mut bundle);
        assert_eq!(names(&bundle), ["a", "b"]);
        assert!(bundle.unreadable_part);
        let broken = bundle.diagnostics.iter().find(|d| d.code == Code::UnreadableDocument).unwrap();
        assert!(broken.origin.starts_with("x.yaml:8") || broken.origin.starts_with("x.yaml:9"), "{broken}");
    }

    #[test]
    fn origins_name_the_line_where_the_object_begins() {
        let text = format!("\n# comment\n{}--- # next\n\n{}", policy("a"), policy("b"));
        let mut bundle = Bundle::default();
        read_documents(&text, "x.yaml", &Defaults::default(), &mut bundle);
        let origins: Vec<_> = bundle.policies.iter().map(|policy| policy.origin.as_str()).collect();
        assert_eq!(origins, ["x.yaml:3", "x.yaml:9"]);
    }

    #[test]
    fn separators_are_document_markers_and_nothing_else() {
        let text = format!("{}...\n---\n--- \n{}# ---\n", policy("a"), policy("b"));
        let mut bundle = Bundle::default();
        read_documents(&text, "x.yaml", &Defaults::default(), &mut bundle);
        assert_eq!(names(&bundle), ["a", "b"]);
        assert!(!bundle.unreadable_part, "{:?}", bundle.diagnostics);
    }

    #[test]
    fn which_files_count() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("..data/real.yaml", &policy("linked"));
        std::os::unix::fs::symlink("..data/real.yaml", dir.path().join("link.yaml")).unwrap();
        write("sub/deep.yml", &policy("deep"));
        write(".hidden.yaml", &policy("hidden"));
        write("notes.txt", "not yaml: [");
        write("bad.yaml", "\u{0}");
        let bundle = load(dir.path(), &Defaults::default()).unwrap();
        assert_eq!(names(&bundle), ["linked", "deep"]);
        assert!(bundle.unreadable_part);
        assert!(load(&dir.path().join("missing"), &Defaults::default()).is_err());
        std::os::unix::fs::symlink(dir.path(), dir.path().join("circle")).unwrap();
        assert_eq!(names(&load(dir.path(), &Defaults::default()).unwrap()), ["linked", "deep"]);
    }
}
