//! Child processes with their output in files, and ports for them.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::secrets::lines_with_secrets;

/// How long a process has to end after SIGTERM before it gets SIGKILL.
const GRACE: Duration = Duration::from_secs(5);

/// A running child process. Dropping it stops it, and panics if a secret stands in its log.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

// === impl Process ===

impl Process {
    /// Starts `command` with its output, both streams, in `DIR/NAME.log`.
    ///
    /// The child is its own process group, so a Ctrl-C at the terminal reaches the parent alone,
    /// which then stops its children in order.
    pub(crate) fn start(name: &str, mut command: Command, dir: &Path) -> Result<Self> {
        let log = dir.join(format!("{name}.log"));
        let out = File::options().create(true).append(true).open(&log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {name} ({:?})", command.get_program()))?;
        Ok(Self { name: name.to_owned(), child, log })
    }

    /// The process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The file with all output so far.
    pub(crate) fn log_file(&self) -> &Path {
        &self.log
    }

    /// All output so far.
    pub(crate) fn output(&self) -> String {
        fs::read(&self.log).map_or_else(
            |error| format!("(no log: {error})"),
            |bytes| String::from_utf8_lossy(&bytes).into_owned(),
        )
    }

    /// The lines of all output so far that hold a secret, without it.
    pub(crate) fn lines_with_secrets(&self) -> Vec<String> {
        match fs::read(&self.log) {
            Ok(bytes) => lines_with_secrets(&String::from_utf8_lossy(&bytes)),
            Err(error) => vec![format!("it cannot be read: {error}")],
        }
    }

    /// The exit status, if the process has ended.
    pub(crate) fn exited(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Fails with the end of the process's output if it has ended.
    pub(crate) fn check_running(&mut self) -> Result<()> {
        match self.exited() {
            None => Ok(()),
            Some(status) => {
                bail!("{} ended ({status}), its last output:\n{}", self.name, last_lines(&self.output(), 20))
            }
        }
    }

    /// Asks the process to end (SIGTERM), and ends it (SIGKILL) if it does not within a few seconds.
    pub(crate) fn stop(&mut self) {
        if self.exited().is_some() {
            return;
        }
        if self.signal(Signal::TERM).is_ok() && self.wait(GRACE) {
            return;
        }
        self.kill();
    }

    /// Ends the process at once (SIGKILL).
    pub(crate) fn kill(&mut self) {
        // Both fail only for a process that has ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }

    /// Sends a signal.
    pub(crate) fn signal(&mut self, signal: Signal) -> Result<()> {
        let id = i32::try_from(self.child.id())?;
        let pid = Pid::from_raw(id).context("process id 0")?;
        Ok(kill_process(pid, signal)?)
    }

    /// Waits for the end of the process; false if it has not come in time.
    pub(crate) fn wait(&mut self, limit: Duration) -> bool {
        let end = Instant::now() + limit;
        while Instant::now() < end {
            if self.exited().is_some() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        false
    }
}

impl Drop for Process {
    /// Whatever a process was used for, its log must hold no secret.
    fn drop(&mut self) {
        self.stop();
        // A test that fails already has its own reason.
        if !std::thread::panicking() {
            let found = self.lines_with_secrets();
            assert!(found.is_empty(), "the log of {} holds secrets: {found:#?}", self.name);
        }
    }
}

/// Waits until something accepts connections on `address`, as long as `process` runs.
pub(crate) async fn wait_for_port(process: &mut Process, address: SocketAddr, limit: Duration) -> Result<()> {
    let end = Instant::now() + limit;
    while tokio::net::TcpStream::connect(address).await.is_err() {
        process.check_running()?;
        if Instant::now() > end {
            bail!("nothing listens on {address} after {limit:?}");
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

/// Waits until `url` answers 200, as long as `process` runs.
pub(crate) async fn wait_for_ok(process: &mut Process, url: &str, limit: Duration) -> Result<()> {
    let client = super::http::client()?;
    let end = Instant::now() + limit;
    loop {
        let last = match client.get(url).send().await {
            Ok(answer) if answer.status().as_u16() == 200 => return Ok(()),
            Ok(answer) => format!("status {}", answer.status()),
            Err(error) => error.to_string(),
        };
        process.check_running()?;
        if Instant::now() > end {
            bail!(
                "{url} is not 200 after {limit:?}: {last}; last output:\n{}",
                last_lines(&process.output(), 20)
            );
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A loopback port that was free a moment ago and that this process has not been given before.
pub(crate) fn free_port() -> Result<u16> {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    loop {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
        if given.insert(port) {
            return Ok(port);
        }
    }
}

/// `preferred`, if it is free now, or else any free port.
pub(crate) fn free_port_near(preferred: u16) -> Result<u16> {
    match TcpListener::bind((Ipv4Addr::LOCALHOST, preferred)) {
        Ok(_) => Ok(preferred),
        Err(_) => free_port(),
    }
}

/// An address on loopback.
pub(crate) fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(count);
    lines.get(from..).unwrap_or_default().join("\n")
}
