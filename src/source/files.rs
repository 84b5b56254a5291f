//! A directory of YAML files, as a [`Bundle`].
//!
//! Every `*.yaml` and `*.yml` file counts that does not begin with a dot, in subdirectories too;
//! symbolic links are followed, so that a mounted ConfigMap works. A file may hold several documents;
//! one that cannot be parsed closes what is in it and leaves the others in force.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use notify::Watcher;
use tokio::sync::mpsc;

use super::yaml::{self, Malformed};
use crate::compile::{Bundle, Code, Diagnostic, Severity};
use crate::crd::{self, Defaults};

/// A burst of changes is over when nothing has changed for this long.
const QUIET: Duration = Duration::from_millis(50);
/// A burst that does not end is read all the same after this long, and again, until nothing changes
/// meanwhile: a file that is written in place is empty at first, and then half of itself.
const LONGEST_BURST: Duration = Duration::from_millis(500);
/// What was read during changes that do not end comes into force all the same after this long.
const LONGEST_UNREST: Duration = Duration::from_secs(1);
/// The directory is read again this often even if no change was reported (network file systems).
const RESCAN: Duration = Duration::from_secs(5);

/// The longest file that is read, in bytes. A ConfigMap holds one megabyte.
const MAX_FILE: u64 = 16 * 1024 * 1024;

/// Reads a directory, or one file.
///
/// # Errors
/// The path itself cannot be opened. What is wrong below it becomes a diagnostic.
pub fn load(path: &Path, defaults: &Defaults) -> io::Result<Bundle> {
    let (files, mut bundle) = find(path)?;
    if files.is_empty() && !path.is_dir() {
        // Somebody asks for this very pipe.
        let text = std::fs::read_to_string(path)?;
        read_documents(&text, &path.display().to_string(), defaults, &mut bundle);
    }
    for file in files {
        read_file(&file, defaults, &mut bundle);
    }
    Ok(bundle)
}

/// The regular files that [`load`] reads, and a bundle with what is wrong on the way to others.
pub(crate) fn find(path: &Path) -> io::Result<(Vec<PathBuf>, Bundle)> {
    let (mut files, mut bundle) = (Vec::new(), Bundle::default());
    if path.is_dir() {
        list(path, &mut BTreeSet::new(), &mut files, &mut bundle)?;
    } else if path.metadata()?.is_file() {
        files.push(path.to_owned());
    }
    files.sort();
    Ok((files, bundle))
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
        } else if path.is_symlink()
            && let Err(error) = path.metadata()
        {
            // It may have led to a directory.
            unreadable(&path, &error, bundle);
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
    match read_text(path) {
        Ok(text) => read_documents(&text, &path.display().to_string(), defaults, bundle),
        Err(error) => unreadable(path, &error, bundle),
    }
}

/// The text of a regular file of reasonable length: a pipe would block for ever, and a device may
/// have no end.
pub(crate) fn read_text(path: &Path) -> io::Result<String> {
    if !path.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let (mut file, mut text) = (File::open(path)?, String::new());
    let before = file.metadata()?;
    (&mut file).take(MAX_FILE + 1).read_to_string(&mut text)?;
    let after = file.metadata()?;
    if text.len() as u64 > MAX_FILE {
        return Err(io::Error::other(format!("it is longer than {MAX_FILE} bytes")));
    }
    if text.len() as u64 != after.len() || before.modified()? != after.modified()? {
        return Err(io::Error::other("it was changed while it was read"));
    }
    Ok(text)
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
pub(crate) fn documents(text: &str) -> Vec<(usize, String)> {
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
    let (mut at_rest, mut unrest_since) = (true, None);
    loop {
        let (path, defaults) = (directory.clone(), defaults.clone());
        let loaded = tokio::task::spawn_blocking(move || load(&path, &defaults)).await;
        at_rest &= events.is_empty();
        if at_rest || unrest_since.get_or_insert_with(Instant::now).elapsed() > LONGEST_UNREST {
            unrest_since = None;
            changed(loaded.unwrap_or_else(|error| Err(io::Error::other(error))));
        }
        if tokio::time::timeout(RESCAN, events.recv()).await.is_err() {
            // A directory that was removed and made again is another one to the operating system.
            let _not_watched = watcher.unwatch(&directory);
            let _gone = watcher.watch(&directory, notify::RecursiveMode::Recursive);
        }
        let quiet = async { while let Ok(Some(())) = tokio::time::timeout(QUIET, events.recv()).await {} };
        at_rest = tokio::time::timeout(LONGEST_BURST, quiet).await.is_ok();
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
    fn what_is_no_regular_file_is_unreadable_and_delays_nothing() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a.yaml"), policy("a")).unwrap();
        assert!(!load(dir.path(), &Defaults::default()).unwrap().unreadable_part);
        let (pipe, device) = (dir.path().join("pipe.yaml"), dir.path().join("device.yaml"));
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success());
        std::os::unix::fs::symlink("/dev/zero", &device).unwrap();
        std::os::unix::fs::symlink("nowhere", dir.path().join("team")).unwrap();
        let endless = File::create(dir.path().join("long.yaml")).unwrap();
        endless.set_len(MAX_FILE + 1).unwrap();

        let (sender, loaded) = std::sync::mpsc::channel();
        let path = dir.path().to_owned();
        std::thread::spawn(move || {
            let _timed_out = sender.send(load(&path, &Defaults::default()).unwrap());
        });
        let bundle = loaded.recv_timeout(Duration::from_secs(10)).unwrap();
        assert_eq!(names(&bundle), ["a"]);
        assert!(bundle.unreadable_part);
        let origins: Vec<_> = bundle.diagnostics.iter().filter(|d| d.code == Code::UnreadableFile).collect();
        assert_eq!(origins.len(), 4, "{origins:?}");
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

    #[tokio::test]
    async fn a_directory_that_is_made_again_is_watched_again() {
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("policies");
        let fill = |name: &str| std::fs::write(directory.join("a.yaml"), policy(name)).unwrap();
        std::fs::create_dir(&directory).unwrap();
        fill("first");
        let (sender, mut loaded) = mpsc::unbounded_channel();
        let publish = move |bundle: io::Result<Bundle>| {
            let _over = sender.send(bundle.map_or_else(|_| "gone".into(), |bundle| names(&bundle).concat()));
        };
        let watching = tokio::spawn(watch(directory.clone(), Defaults::default(), publish));
        let mut until = async |wanted: &str, limit: Duration| {
            let seen = async { while loaded.recv().await.is_some_and(|found| found != wanted) {} };
            tokio::time::timeout(limit, seen).await.unwrap_or_else(|_| panic!("{wanted} not seen in time"));
        };
        until("first", RESCAN).await;
        std::fs::remove_dir_all(&directory).unwrap();
        until("gone", RESCAN).await;
        std::fs::create_dir(&directory).unwrap();
        fill("second");
        until("second", RESCAN * 2).await;
        for name in ["third", "fourth"] {
            tokio::time::sleep(QUIET * 4).await;
            fill(name);
            until(name, RESCAN / 5).await;
        }
        watching.abort();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_file_that_is_being_written_is_not_in_force() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("a.yaml");
        std::fs::write(&file, policy("whole")).unwrap();
        let (sender, mut loaded) = mpsc::unbounded_channel();
        let publish = move |bundle: io::Result<Bundle>| {
            let _over = sender.send(names(&bundle.unwrap()).concat());
        };
        let watching = tokio::spawn(watch(directory.path().to_owned(), Defaults::default(), publish));
        assert_eq!(loaded.recv().await.unwrap(), "whole");
        // A writer that a busy machine stops for longer than a pause between bursts cannot be told
        // from one that is done: one try of several must do.
        for _ in 0..10 {
            // Longer than a burst, and always empty when it is over.
            let begin = Instant::now();
            while begin.elapsed() < LONGEST_BURST + QUIET * 4 {
                std::fs::write(&file, "").unwrap();
                tokio::time::sleep(QUIET / 5).await;
            }
            std::fs::write(&file, policy("again")).unwrap();
            let mut seen = vec![loaded.recv().await.unwrap()];
            while seen.last().is_some_and(|last| last != "again") {
                seen.push(loaded.recv().await.unwrap());
            }
            if seen == ["again"] {
                watching.abort();
                return;
            }
        }
        panic!("the empty file was in force each time");
    }
}
