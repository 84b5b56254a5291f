//! Waiting for what must come.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How long something that must come may take on a machine that is busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Tries until it succeeds; fails with the last reason when patience is over.
pub(crate) async fn eventually<T>(
    what: &str,
    mut attempt: impl AsyncFnMut() -> Result<Result<T, String>>,
) -> Result<T> {
    let end = Instant::now() + PATIENCE;
    loop {
        match attempt().await? {
            Ok(value) => return Ok(value),
            Err(last) if Instant::now() > end => bail!("{what}: not after {PATIENCE:?}; at last: {last}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}
