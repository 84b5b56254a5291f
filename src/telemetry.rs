//! What the service tells about its own work: logs and metrics.

use std::fmt::{Display, Write};
use std::io::{IsTerminal as _, stderr};
use std::sync::atomic::{AtomicU64, Ordering};

use tracing_subscriber::EnvFilter;

use crate::compile::Severity;
use crate::reason::Reason;
use crate::report::Figures;
use crate::source::issuer_keys::IssuerStatus;
use crate::source::kubernetes::KindStatus;
use crate::state::Loaded;
use crate::token::CacheFigures;

/// Writes logs to standard error, as lines, coloured on a terminal, or as JSON. `RUST_LOG` sets what
/// is logged.
pub fn init_logs(json: bool) {
    let mut filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    // Its source says of every failure once, and with a cure, what kube says at each try.
    if !std::env::var("RUST_LOG").is_ok_and(|wanted| wanted.contains("kube"))
        && let Ok(silent) = "kube_client=off".parse()
    {
        filter = filter.add_directive(silent);
    }
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(stderr)
        .with_ansi(stderr().is_terminal());
    if json { builder.json().init() } else { builder.with_target(false).init() }
}

/// Counters. Labels come from closed lists only, so that no client can make series.
#[derive(Debug)]
pub struct Metrics {
    decisions: Vec<AtomicU64>,
    connections: [AtomicU64; Port::ALL.len()],
    connection_faults: [[AtomicU64; ConnectionFault::ALL.len()]; Port::ALL.len()],
    certificates: Certificates,
}

/// The addresses that are listened on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Port {
    /// Envoy's.
    Grpc,
    /// The token service's.
    Http,
    /// That of probes and metrics.
    Admin,
}

/// What happened to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionFault {
    /// The system had no room for it, such as no free file descriptor.
    NotAccepted,
    /// All places were taken by connections in use.
    Full,
    /// It had made no request and gave way to a newer one.
    Evicted,
    /// The TLS handshake failed or took too long.
    Handshake,
    /// No request came for too long.
    Idle,
}

/// How often certificates were read anew, and how that went.
#[derive(Debug, Default)]
struct Certificates {
    reloads: AtomicU64,
    errors: AtomicU64,
    /// Whether the files cannot be used as they are now.
    stale: AtomicU64,
}

/// A connection that is open, until this is dropped.
#[derive(Debug)]
pub struct OpenConnection<'a>(&'a AtomicU64);

/// What is not counted but looked at.
#[derive(Debug)]
pub struct Observed<'a> {
    /// What is in force.
    pub loaded: Option<&'a Loaded>,
    /// Whether checks are answered from it.
    pub ready: bool,
    /// The keys of the registered issuers. Only administrators make these series.
    pub issuers: &'a [IssuerStatus],
    /// The kinds that are followed in a cluster; none where the objects are in a directory.
    pub cluster: &'a [KindStatus],
    /// What became of Events, where the objects are in a cluster.
    pub events: Option<&'a Figures>,
    /// The memory of verified tokens.
    pub tokens: CacheFigures,
}

/// Series in the Prometheus text format.
struct Exposition(String);

impl Default for Metrics {
    fn default() -> Self {
        Self {
            decisions: Reason::ALL.iter().map(|_| AtomicU64::new(0)).collect(),
            connections: Default::default(),
            connection_faults: Default::default(),
            certificates: Certificates::default(),
        }
    }
}

impl Metrics {
    /// Counts an answered check.
    pub fn count(&self, reason: Reason) {
        if let Some(counter) = self.decisions.get(reason as usize) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts a connection as open.
    pub fn open_connection(&self, port: Port) -> OpenConnection<'_> {
        let [grpc, http, admin] = &self.connections;
        let open = match port {
            Port::Grpc => grpc,
            Port::Http => http,
            Port::Admin => admin,
        };
        open.fetch_add(1, Ordering::Relaxed);
        OpenConnection(open)
    }

    /// Counts what happened to a connection.
    pub fn count_fault(&self, port: Port, fault: ConnectionFault) {
        let counter = self.connection_faults.get(port as usize).and_then(|of| of.get(fault as usize));
        if let Some(counter) = counter {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts that changed certificates were put in force, or could not be.
    pub fn count_certificates(&self, usable: bool) {
        let Certificates { reloads, errors, .. } = &self.certificates;
        if usable { reloads } else { errors }.fetch_add(1, Ordering::Relaxed);
        self.set_certificates_stale(!usable);
    }

    /// Notes whether the certificate files cannot be used as they are now.
    pub fn set_certificates_stale(&self, stale: bool) {
        self.certificates.stale.store(stale.into(), Ordering::Relaxed);
    }

    /// All series, in the Prometheus text format.
    pub fn render(&self, observed: &Observed<'_>) -> String {
        let mut text = Exposition(String::new());
        let counts = Reason::ALL.iter().zip(&self.decisions);
        let counts = counts.map(|(reason, count)| (label("reason", reason), count.load(Ordering::Relaxed)));
        text.family("faas_iam_decisions_total", "counter", "Answered checks by reason.", counts);
        let ready = [(String::new(), u8::from(observed.ready))];
        text.family("faas_iam_ready", "gauge", "Whether checks are answered from a snapshot.", ready);
        if let Some(loaded) = observed.loaded {
            snapshot(&mut text, loaded);
        }
        issuers(&mut text, observed.issuers);
        cluster(&mut text, observed.cluster);
        if let Some(figures) = observed.events {
            events(&mut text, figures);
        }
        tokens(&mut text, observed.tokens);
        self.transport(&mut text);
        text.0
    }

    fn transport(&self, text: &mut Exposition) {
        let open = Port::ALL.iter().zip(&self.connections);
        let open = open.map(|(port, count)| (label("port", port.name()), count.load(Ordering::Relaxed)));
        text.family("faas_iam_connections", "gauge", "Open connections.", open);
        let faults = Port::ALL.iter().zip(&self.connection_faults).flat_map(|(port, counts)| {
            ConnectionFault::ALL.iter().zip(counts).map(move |(fault, count)| {
                let labels = format!("{{port=\"{}\",cause=\"{}\"}}", port.name(), fault.name());
                (labels, count.load(Ordering::Relaxed))
            })
        });
        let help = "Connections that were refused or ended by the service.";
        text.family("faas_iam_connection_faults_total", "counter", help, faults);
        let Certificates { reloads, errors, stale } = &self.certificates;
        let mut single = |name, kind, help, value: &AtomicU64| {
            text.family(name, kind, help, [(String::new(), value.load(Ordering::Relaxed))]);
        };
        let help = "Certificates that were put in force while the service ran.";
        single("faas_iam_tls_reloads_total", "counter", help, reloads);
        let help = "Changes of the certificate files that cannot be used.";
        single("faas_iam_tls_reload_errors_total", "counter", help, errors);
        let help = "Whether the certificate files cannot be used as they are now, and older ones are.";
        single("faas_iam_tls_stale", "gauge", help, stale);
    }
}

impl Port {
    /// Every address.
    pub const ALL: [Self; 3] = [Self::Grpc, Self::Http, Self::Admin];

    /// Its name in logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::Http => "http",
            Self::Admin => "admin",
        }
    }
}

impl ConnectionFault {
    const ALL: [Self; 5] = [Self::NotAccepted, Self::Full, Self::Evicted, Self::Handshake, Self::Idle];

    const fn name(self) -> &'static str {
        match self {
            Self::NotAccepted => "not-accepted",
            Self::Full => "full",
            Self::Evicted => "evicted",
            Self::Handshake => "handshake",
            Self::Idle => "idle",
        }
    }
}

impl Drop for OpenConnection<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn snapshot(text: &mut Exposition, loaded: &Loaded) {
    let revision = label("revision", loaded.snapshot.revision.as_str());
    text.family("faas_iam_snapshot_info", "gauge", "The snapshot in force.", [(revision, 1)]);
    let age = loaded.since.elapsed().unwrap_or_default().as_secs_f64();
    let help = "For how long the snapshot has been in force.";
    text.family("faas_iam_snapshot_age_seconds", "gauge", help, [(String::new(), age)]);
    for (severity, name, help) in [
        (Severity::Error, "faas_iam_object_errors", "Parts of objects that cannot be read and are closed."),
        (Severity::Warning, "faas_iam_object_warnings", "Parts of objects that have no effect."),
    ] {
        let count = loaded.diagnostics.iter().filter(|d| d.severity == severity).count();
        text.family(name, "gauge", help, [(String::new(), count)]);
    }
}

fn issuers(text: &mut Exposition, issuers: &[IssuerStatus]) {
    let of = |status: &IssuerStatus| label("issuer", &status.iss);
    let keys = issuers.iter().map(|status| (of(status), status.usable));
    text.family("faas_iam_issuer_keys", "gauge", "Keys of the issuer that are in use.", keys);
    let ages = issuers.iter().filter_map(|status| Some((of(status), status.age()?.as_secs_f64())));
    let help = "For how long the issuer's keys were not confirmed.";
    text.family("faas_iam_issuer_fetched_age_seconds", "gauge", help, ages);
    let next = issuers.iter().filter_map(|status| Some((of(status), status.next_refresh?.as_second())));
    let help = "When the issuer's keys are fetched next, in seconds since 1970.";
    text.family("faas_iam_issuer_next_fetch_timestamp_seconds", "gauge", help, next);
    let up = issuers.iter().map(|status| (of(status), u8::from(status.last_error.is_none())));
    text.family("faas_iam_issuer_up", "gauge", "Whether no error is known of the issuer.", up);
    let fetches = issuers.iter().map(|status| (of(status), status.fetches));
    text.family("faas_iam_issuer_fetches_total", "counter", "Ended fetches of the issuer's keys.", fetches);
    let failed = issuers.iter().map(|status| (of(status), status.failed_fetches));
    let help = "Failed fetches of the issuer's keys.";
    text.family("faas_iam_issuer_fetch_errors_total", "counter", help, failed);
}

fn cluster(text: &mut Exposition, kinds: &[KindStatus]) {
    let of = |status: &KindStatus| label("kind", status.kind);
    let ages = kinds.iter().filter_map(|status| Some((of(status), status.age?.as_secs_f64())));
    let help = "For how long the cluster has not confirmed that the objects in force are all.";
    text.family("faas_iam_source_age_seconds", "gauge", help, ages);
    let well = kinds.iter().map(|status| (of(status), u8::from(status.trouble.is_none())));
    text.family("faas_iam_source_up", "gauge", "Whether nothing is wrong with following the cluster.", well);
    let failures = kinds.iter().map(|status| (of(status), status.failures));
    let help = "How often following the cluster failed.";
    text.family("faas_iam_source_errors_total", "counter", help, failures);
}

fn events(text: &mut Exposition, figures: &Figures) {
    let mut single = |name, kind, help, value| text.family(name, kind, help, [(String::new(), value)]);
    let help = "Events on objects that were written or counted once more.";
    single("faas_iam_events_written_total", "counter", help, figures.written());
    let help = "How often writing Events, or the Lease of those who do, failed.";
    single("faas_iam_events_errors_total", "counter", help, figures.failed());
    let help = "Whether this replica writes Events.";
    single("faas_iam_events_leader", "gauge", help, u64::from(figures.leads()));
}

fn tokens(text: &mut Exposition, tokens: CacheFigures) {
    let CacheFigures { hits, misses, entries, bytes } = tokens;
    let mut single = |name, kind, help, value| text.family(name, kind, help, [(String::new(), value)]);
    single("faas_iam_token_cache_hits_total", "counter", "Tokens that were verified from memory.", hits);
    single("faas_iam_token_cache_misses_total", "counter", "Tokens that were verified in full.", misses);
    single("faas_iam_token_cache_entries", "gauge", "Tokens in memory.", entries);
    single("faas_iam_token_cache_bytes", "gauge", "The memory that they take, estimated.", bytes);
}

// === impl Exposition ===

impl Exposition {
    /// One metric with its samples, by label; without any, nothing is written.
    fn family<V: Display>(
        &mut self,
        name: &str,
        kind: &str,
        help: &str,
        samples: impl IntoIterator<Item = (String, V)>,
    ) {
        let mut samples = samples.into_iter().peekable();
        if samples.peek().is_some() {
            let _infallible = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
        }
        for (label, value) in samples {
            let _infallible = writeln!(self.0, "{name}{label} {value}");
        }
    }
}

/// A label in braces, its value escaped.
fn label(name: &str, value: impl Display) -> String {
    let value = value.to_string().replace('\\', r"\\").replace('"', r#"\""#).replace('\n', r"\n");
    format!("{{{name}=\"{value}\"}}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_is_described_once_and_labels_are_escaped() {
        let status = |iss: &str, keys: usize| IssuerStatus {
            iss: iss.into(),
            usable: keys,
            fetched_at: (keys > 0).then(jiff::Timestamp::now),
            next_refresh: jiff::Timestamp::from_second(1_700_000_000).ok(),
            last_error: (keys == 0).then(|| "503".to_owned()),
            fetches: 3,
            failed_fetches: 2,
            ..IssuerStatus::default()
        };
        let issuers = [status("https://a", 2), status("https://b/\"x\\y\n", 0)];
        let metrics = Metrics::default();
        metrics.count(Reason::NoToken);
        let age = Some(std::time::Duration::from_millis(1500));
        let known = KindStatus { kind: "Role", age, ..KindStatus::default() };
        let trouble = Some("403".to_owned());
        let kinds = [known, KindStatus { kind: "Policy", age: None, trouble, failures: 4 }];
        let tokens = CacheFigures { hits: 7, misses: 3, entries: 2, bytes: 4096 };
        let text = metrics.render(&Observed {
            loaded: None,
            ready: false,
            issuers: &issuers,
            cluster: &kinds,
            events: Some(&Figures::default()),
            tokens,
        });
        for line in [
            "faas_iam_decisions_total{reason=\"no-token\"} 1",
            "faas_iam_ready 0",
            "faas_iam_issuer_keys{issuer=\"https://a\"} 2",
            "faas_iam_issuer_keys{issuer=\"https://b/\\\"x\\\\y\\n\"} 0",
            "faas_iam_issuer_next_fetch_timestamp_seconds{issuer=\"https://a\"} 1700000000",
            "faas_iam_issuer_up{issuer=\"https://a\"} 1",
            "faas_iam_issuer_up{issuer=\"https://b/\\\"x\\\\y\\n\"} 0",
            "faas_iam_issuer_fetches_total{issuer=\"https://a\"} 3",
            "faas_iam_issuer_fetch_errors_total{issuer=\"https://a\"} 2",
            "faas_iam_source_age_seconds{kind=\"Role\"} 1.5",
            "faas_iam_source_up{kind=\"Policy\"} 0",
            "faas_iam_source_errors_total{kind=\"Policy\"} 4",
            "faas_iam_events_written_total 0",
            "faas_iam_events_leader 0",
            "faas_iam_token_cache_hits_total 7",
            "faas_iam_token_cache_bytes 4096",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        let ages = text.lines().filter(|line| line.starts_with("faas_iam_issuer_fetched_age_seconds{"));
        assert_eq!(ages.count(), 1, "an issuer that never gave keys has no age");
        let mut described: Vec<_> = text.lines().filter(|line| line.starts_with("# TYPE")).collect();
        let all = described.len();
        described.sort_unstable();
        described.dedup();
        assert_eq!(described.len(), all);
    }
}
