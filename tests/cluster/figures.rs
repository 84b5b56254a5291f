//! What times are, as people read them.

use std::time::Duration;

/// Times that were measured.
#[derive(Debug, Clone, Default)]
pub(crate) struct Times(Vec<Duration>);

// === impl Times ===

impl Times {
    /// One more.
    pub(crate) fn add(&mut self, time: Duration) {
        self.0.push(time);
    }

    /// Median, 99th percentile and maximum.
    pub(crate) fn summary(&self) -> String {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let at = |permille: usize| {
            let index = (sorted.len() * permille).div_ceil(1000).saturating_sub(1);
            sorted.get(index).copied().unwrap_or_default()
        };
        format!(
            "median {}, p99 {}, max {} ({} times)",
            shown(at(500)),
            shown(at(990)),
            shown(at(1000)),
            sorted.len()
        )
    }
}

/// A time with the digits that matter.
pub(crate) fn shown(time: Duration) -> String {
    match time.as_secs_f64() {
        long if long >= 10.0 => format!("{long:.0} s"),
        middle if middle >= 1.0 => format!("{middle:.1} s"),
        short if short >= 0.1 => format!("{:.0} ms", short * 1e3),
        shorter => format!("{:.2} ms", shorter * 1e3),
    }
}
