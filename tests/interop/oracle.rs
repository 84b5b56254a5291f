//! Our reading of requests against Go's: whatever a provider would act on must be among what we
//! authorize. The other reader is `go/oracle`.
//!
//! The requests are those of `corpus/`, and a million that [`generate`] makes from a seed.
//! `ORACLE_REQUESTS` and `ORACLE_SEED` set other numbers.
#![expect(clippy::print_stdout, reason = "the report is for a person")]

pub(crate) mod generate;

use std::collections::BTreeMap;
use std::fmt;
use std::io::{BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Instant;

use anyhow::{Context as _, Result, anyhow, ensure};
use faas_iam::policy::Action;
use faas_iam::route::{Access, HttpRequest, Provider, Rules, Ui, resolve};

use crate::support::report::Report;
use crate::toolchain::Built;
use generate::{Generator, Sent};

/// The name in the report.
pub(crate) const PART: &str = "readers of requests: ours and Go's";

const REQUESTS: u64 = 1_000_000;
const SEED: u64 = 1;

/// Requests that go to the other process at once, and how many such batches may be on their way.
const BATCH: usize = 2048;
const BATCHES: usize = 4;

/// The least share of the generated requests that is to be accepted: one in this many.
const ONE_IN: usize = 10;

/// Disagreements that are printed.
const SHOWN: usize = 20;

/// What clients send, and what once was, or could have been, read in two ways.
pub(crate) const CLIENTS: &str = include_str!("corpus/clients.txt");
pub(crate) const ATTACKS: &str = include_str!("corpus/attacks.txt");

/// The profiles, and by which of their letters an act counts for them.
const PROFILES: [(Provider, &[u8]); 3] =
    [(Provider::FaasNetes, b"n"), (Provider::Faasd, b"d"), (Provider::Any, b"nd")];

/// A request, and what we would authorize for it in each profile; nothing where we refuse it.
struct Case {
    sent: Sent,
    /// As it would go upstream.
    target: String,
    authorized: Option<[Vec<String>; 3]>,
    /// Whether it is closed to everybody, a system namespace: read alike it must be all the same.
    closed: bool,
}

/// The figures of one source of requests.
#[derive(Debug, Default)]
struct Count {
    requests: usize,
    handled_by_go: usize,
    accepted: usize,
    closed: usize,
    acted_on: usize,
    accepted_by_action: BTreeMap<String, usize>,
    disagreements: Vec<String>,
    refused: Vec<String>,
}

/// Runs the part.
pub(crate) async fn run(report: &mut Report, built: &Built) {
    report.part(PART);
    let program = match built.program("oracle") {
        Ok(program) => program.to_owned(),
        Err(why) => return report.fail("the program runs", &why),
    };
    let (count, seed) = (number("ORACLE_REQUESTS", REQUESTS), number("ORACLE_SEED", SEED));
    let start = Instant::now();
    let checked = tokio::task::spawn_blocking(move || -> Result<[Count; 3]> {
        let (count, seed) = (count?, seed?);
        let mut generator = Generator::new(seed);
        let generated = (0..count).map(move |_| generator.request());
        Ok([
            compare(&program, corpus(CLIENTS)?.into_iter())?,
            compare(&program, corpus(ATTACKS)?.into_iter())?,
            compare(&program, generated)?,
        ])
    });
    match checked.await.context("the comparison ends").and_then(|checked| checked) {
        Ok([clients, attacks, generated]) => {
            print(&[("clients", &clients), ("attacks", &attacks), ("generated", &generated)]);
            println!("  {:.1} s", start.elapsed().as_secs_f64());
            report.count("what clients send is accepted", clients.all_accepted());
            report.count("what clients send is read alike", clients.agreed());
            report.count("attacks are refused or read alike", attacks.agreed());
            report.count("generated requests are refused or read alike", generated.agreed());
            report.count("enough of them are accepted", generated.substantial());
        }
        Err(why) => report.fail("the comparison runs", &why),
    }
}

/// A number from the environment.
pub(crate) fn number(variable: &str, default: u64) -> Result<u64> {
    std::env::var(variable).map_or(Ok(default), |text| text.parse().with_context(|| variable.to_owned()))
}

fn print(counts: &[(&str, &Count)]) {
    println!(
        "  {:<10} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}",
        "", "requests", "by Go", "by us", "acted on", "closed", "differ"
    );
    for (name, count) in counts {
        println!(
            "  {name:<10} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}",
            count.requests,
            count.handled_by_go,
            count.accepted,
            count.acted_on,
            count.closed,
            count.disagreements.len()
        );
        for disagreement in count.disagreements.iter().take(SHOWN) {
            println!("    {disagreement}");
        }
    }
    println!("\n  accepted of those generated, by action:");
    for (action, accepted) in counts.iter().skip(2).flat_map(|(_, count)| &count.accepted_by_action) {
        println!("  {action:<20} {accepted:>9}");
    }
}

/// Sends every request through one process, and compares what comes back.
fn compare(program: &Path, mut requests: impl Iterator<Item = Sent> + Send) -> Result<Count> {
    let mut child = Command::new(program).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut to = child.stdin.take().context("it has no standard input")?;
    let from = child.stdout.take().context("it has no standard output")?;
    let (sender, receiver) = sync_channel(BATCHES);
    let count = std::thread::scope(|scope| {
        let writer = scope.spawn(move || write(&mut to, &mut requests, &sender));
        let count = read(from, &receiver);
        drop(receiver);
        let written = writer.join().map_err(|_| anyhow!("the writer failed"))?;
        count.and_then(|count| written.map(|()| count))
    });
    let ended = child.wait()?;
    ensure!(ended.success(), "go/oracle: {ended}");
    count
}

/// Announces each batch before it is written, so that its answers are read meanwhile.
fn write(
    to: &mut impl Write,
    requests: &mut impl Iterator<Item = Sent>,
    sender: &SyncSender<Vec<Case>>,
) -> Result<()> {
    loop {
        let batch: Vec<_> = requests.take(BATCH).map(Case::new).collect();
        if batch.is_empty() {
            return Ok(());
        }
        let mut bytes = Vec::new();
        for case in &batch {
            for text in [case.sent.method.as_bytes(), case.target.as_bytes(), &case.sent.body] {
                bytes.extend(u32::try_from(text.len())?.to_be_bytes());
                bytes.extend(text);
            }
        }
        sender.send(batch).context("the reader is gone")?;
        to.write_all(&bytes)?;
    }
}

fn read(from: impl Read, receiver: &Receiver<Vec<Case>>) -> Result<Count> {
    let mut from = BufReader::new(from);
    let mut count = Count::default();
    for case in receiver.iter().flatten() {
        let mut length = [0; 4];
        from.read_exact(&mut length)?;
        let mut answer = vec![0; usize::try_from(u32::from_be_bytes(length))?];
        from.read_exact(&mut answer)?;
        count.add(&case, &answer);
    }
    Ok(count)
}

/// The requests of a file of the corpus: each line a method, a target and perhaps a body.
pub(crate) fn corpus(text: &str) -> Result<Vec<Sent>> {
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let (method, rest) = line.split_once(' ').with_context(|| line.to_owned())?;
            let (target, body) = rest.split_once(' ').unwrap_or((rest, ""));
            Ok(Sent { method: method.to_owned(), target: target.to_owned(), body: body.into() })
        })
        .collect()
}

// === impl Case ===

impl Case {
    fn new(sent: Sent) -> Self {
        let (mut target, mut closed) = (sent.target.clone(), false);
        let mut profiles = PROFILES.map(|(provider, _)| {
            let (resources, namespace, is_closed) = authorized(&sent, provider)?;
            closed |= is_closed;
            if let Some(namespace) = namespace {
                target = with_namespace(&sent.target, &namespace);
            }
            Some(resources)
        });
        let authorized = match &mut profiles {
            [Some(faas_netes), Some(faasd), Some(any)] => Some([faas_netes, faasd, any].map(std::mem::take)),
            _ => None,
        };
        Self { sent, target, authorized, closed }
    }
}

/// The action of what is authorized.
fn action(profiles: &[Vec<String>; 3]) -> String {
    let first = profiles.iter().flatten().next().and_then(|act| act.split(' ').next());
    first.unwrap_or("no action").to_owned()
}

/// What we would authorize, the namespace that we would set, and whether it is closed; nothing for a
/// refusal.
fn authorized(sent: &Sent, provider: Provider) -> Option<(Vec<String>, Option<String>, bool)> {
    let request = HttpRequest {
        method: &sent.method,
        target: &sent.target,
        content_length: None,
        partial_body: false,
        callback_url: None,
        body: &sent.body,
    };
    let rules = Rules { provider, ui: Ui::Open, ..Rules::default() };
    match resolve(&request, &rules).ok()? {
        // They may be acted on by nobody.
        Access::Public | Access::StaticFile => Some((Vec::new(), None, false)),
        Access::Api(call) => {
            let action = call.action.map(Action::name)?;
            let resources = call.resources.iter().map(|resource| format!("{action} {resource}"));
            Some((resources.collect(), call.set_namespace, call.closed.is_some()))
        }
        Access::Invoke { function, closed } => {
            Some((vec![format!("{} {function}", Action::FunctionInvoke.name())], None, closed.is_some()))
        }
        Access::Closed(_) => None,
    }
}

/// Sets a query parameter as Envoy does: the pairs come back undecoded and in the order of their keys.
fn with_namespace(target: &str, namespace: &str) -> String {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut parameters: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for parameter in query.split('&').filter(|_| !query.is_empty()) {
        let (key, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        parameters.entry(key).or_default().push(value);
    }
    parameters.insert("namespace", vec![namespace]);
    let pairs =
        parameters.iter().flat_map(|(key, values)| values.iter().map(move |it| format!("{key}={it}")));
    format!("{path}?{}", pairs.collect::<Vec<_>>().join("&"))
}

// === impl Count ===

impl Count {
    fn add(&mut self, case: &Case, answer: &[u8]) {
        self.requests += 1;
        let mut parts = answer.split(|byte| *byte == 0);
        let handled = parts.next() == Some(b"h");
        let acts: Vec<_> = parts.map(String::from_utf8_lossy).collect();
        self.handled_by_go += usize::from(handled);
        let Some(profiles) = &case.authorized else {
            self.refused.push(case.to_string());
            self.refused.truncate(SHOWN);
            return;
        };
        if case.closed {
            self.closed += 1;
        } else {
            self.accepted += 1;
            self.acted_on += usize::from(!acts.is_empty());
            *self.accepted_by_action.entry(action(profiles)).or_default() += 1;
        }
        for ((provider, letters), ours) in PROFILES.iter().zip(profiles) {
            let unauthorized = acts.iter().find(|act| {
                let (letter, act) = act.split_once(' ').unwrap_or_default();
                letters.iter().any(|it| letter.as_bytes() == [*it]) && !ours.iter().any(|our| our == act)
            });
            if let Some(act) = unauthorized {
                self.disagreements.push(format!("{provider:?}: {case}: Go {act:?}, we {ours:?}"));
            }
        }
    }

    fn agreed(&self) -> Result<()> {
        ensure!(self.disagreements.is_empty(), "{} disagreements", self.disagreements.len());
        Ok(())
    }

    fn all_accepted(&self) -> Result<()> {
        ensure!(self.accepted == self.requests, "refused: {}", self.refused.join(", "));
        ensure!(self.handled_by_go == self.requests, "Go has no handler for some of them");
        Ok(())
    }

    fn substantial(&self) -> Result<()> {
        ensure!(self.acted_on * ONE_IN >= self.requests, "{}", self.acted_on);
        Ok(())
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Sent { method, target, body } = &self.sent;
        write!(f, "{method:?} {target:?} {}", body.escape_ascii())
    }
}
