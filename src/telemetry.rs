//! What the service tells about its own work: logs and counters.

use std::fmt::Write;
use std::io::{IsTerminal as _, stderr};
use std::sync::atomic::{AtomicU64, Ordering};

use tracing_subscriber::EnvFilter;

use crate::compile::Severity;
use crate::reason::Reason;
use crate::state::Loaded;

/// Writes logs to standard error, as lines, coloured on a terminal, or as JSON. `RUST_LOG` sets what
/// is logged.
pub fn init_logs(json: bool) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
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
}

impl Default for Metrics {
    fn default() -> Self {
        Self { decisions: Reason::ALL.iter().map(|_| AtomicU64::new(0)).collect() }
    }
}

impl Metrics {
    /// Counts an answered check.
    pub fn count(&self, reason: Reason) {
        if let Some(counter) = self.decisions.get(reason as usize) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// All series, in the Prometheus text format.
    pub fn render(&self, loaded: Option<&Loaded>, ready: bool) -> String {
        let mut text = String::from(
            "# HELP faas_iam_decisions_total Answered checks by reason.\n# TYPE faas_iam_decisions_total counter\n",
        );
        for (reason, counter) in Reason::ALL.iter().zip(&self.decisions) {
            let count = counter.load(Ordering::Relaxed);
            let _infallible = writeln!(text, "faas_iam_decisions_total{{reason=\"{reason}\"}} {count}");
        }
        let mut gauge = |name: &str, help: &str, labels: &str, value: f64| {
            let _infallible =
                writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge\n{name}{labels} {value}");
        };
        gauge(
            "faas_iam_ready",
            "Whether checks are answered from a snapshot.",
            "",
            f64::from(u8::from(ready)),
        );
        if let Some(loaded) = loaded {
            let revision = format!("{{revision=\"{}\"}}", loaded.snapshot.revision);
            gauge("faas_iam_snapshot_info", "The snapshot in force.", &revision, 1.0);
            let age = loaded.since.elapsed().unwrap_or_default().as_secs_f64();
            gauge("faas_iam_snapshot_age_seconds", "For how long the snapshot has been in force.", "", age);
            let count = |severity| loaded.diagnostics.iter().filter(|d| d.severity == severity).count();
            for (severity, name) in
                [(Severity::Error, "faas_iam_object_errors"), (Severity::Warning, "faas_iam_object_warnings")]
            {
                let value = f64::from(u32::try_from(count(severity)).unwrap_or(u32::MAX));
                gauge(name, "Problems of the objects in force.", "", value);
            }
        }
        text
    }
}
