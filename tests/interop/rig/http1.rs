//! Just enough of an HTTP/1.1 client to send any bytes and to know when an answer has ended.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long an answer is waited for after bytes that may be no request, and how long another one after
/// bytes that may be two.
const MAYBE_ONE: Duration = Duration::from_millis(400);
const MAYBE_TWO: Duration = Duration::from_millis(50);

/// A connection that is kept.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    read: Vec<u8>,
}

/// How an answer ends.
enum Length {
    Known(usize),
    Chunked,
    UntilClose,
}

// === impl Connection ===

impl Connection {
    pub(super) async fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, read: Vec::new() })
    }

    /// Sends one whole request; the status of the answer, and whether the connection can be used again.
    pub(super) async fn send(&mut self, bytes: &[u8], head: bool) -> Result<(u16, bool)> {
        let exchange = async {
            // A server that refuses early stops reading: what it answered is still to be read.
            let written = self.stream.write_all(bytes).await.is_ok();
            let (status, kept) = self.answer(head).await?;
            Ok((status, kept && written))
        };
        timeout(PATIENCE, exchange).await.context("no answer in time")?
    }

    /// Sends bytes that may be anything, and reads whatever comes for a moment; the first status, if one
    /// came.
    pub(super) async fn send_anything(mut self, bytes: &[u8]) -> Option<u16> {
        self.stream.write_all(bytes).await.ok();
        let status = timeout(MAYBE_ONE, self.answer(false)).await.ok()?.ok().map(|(status, _)| status);
        let drain = async { while self.fill().await.is_ok() {} };
        timeout(MAYBE_TWO, drain).await.ok();
        status
    }

    async fn answer(&mut self, head: bool) -> Result<(u16, bool)> {
        loop {
            let end = self.find(b"\r\n\r\n").await?;
            let text = String::from_utf8_lossy(self.read.get(..end).unwrap_or_default()).to_ascii_lowercase();
            self.read.drain(..end + 4);
            let status: u16 = text.split(' ').nth(1).and_then(|it| it.parse().ok()).context("no status")?;
            if status < 200 && status != 101 {
                continue;
            }
            let closes = text.contains("\r\nconnection: close") || status == 101;
            let length = length(&text, head || status == 204 || status == 304);
            let until_close = matches!(length, Length::UntilClose);
            self.skip(length).await?;
            return Ok((status, !closes && !until_close));
        }
    }

    async fn skip(&mut self, length: Length) -> Result<()> {
        match length {
            Length::Known(length) => {
                while self.read.len() < length {
                    self.fill().await?;
                }
                self.read.drain(..length);
            }
            Length::Chunked => loop {
                let end = self.find(b"\r\n").await?;
                let size = String::from_utf8_lossy(self.read.get(..end).unwrap_or_default()).into_owned();
                let size = usize::from_str_radix(size.trim(), 16)?;
                self.read.drain(..end + 2);
                while self.read.len() < size + 2 {
                    self.fill().await?;
                }
                self.read.drain(..size + 2);
                if size == 0 {
                    return Ok(());
                }
            },
            Length::UntilClose => while self.fill().await.is_ok() {},
        }
        Ok(())
    }

    async fn find(&mut self, text: &[u8]) -> Result<usize> {
        loop {
            if let Some(at) = self.read.windows(text.len()).position(|window| window == text) {
                return Ok(at);
            }
            self.fill().await?;
        }
    }

    async fn fill(&mut self) -> Result<()> {
        if self.stream.read_buf(&mut self.read).await? == 0 {
            bail!("closed");
        }
        Ok(())
    }
}

fn length(head: &str, empty: bool) -> Length {
    let value = |name: &str| head.split("\r\n").find_map(|line| line.strip_prefix(name));
    if empty {
        return Length::Known(0);
    }
    if value("transfer-encoding: ").is_some() {
        return Length::Chunked;
    }
    value("content-length: ").and_then(|it| it.trim().parse().ok()).map_or(Length::UntilClose, Length::Known)
}
