//! Just enough of an HTTP/2 client (RFC 9113) to send any header list, well formed or not, and to know
//! when a stream has ended. Header lists are written without compression (RFC 7541 section 6.2.2).

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(20);
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The largest frame, and so the largest part of a header list or a body.
const FRAME: usize = 16_384;
/// Streams that one connection has before another is opened.
const STREAMS: u32 = 1000;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GO_AWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// A list of headers, pseudo-headers first where it is well formed.
pub(super) type Headers = Vec<(Vec<u8>, Vec<u8>)>;

/// A connection, on which one stream at a time is open.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    next: u32,
}

// === impl Connection ===

impl Connection {
    pub(super) async fn open(address: SocketAddr) -> Result<Self> {
        let mut stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let mut bytes = PREFACE.to_vec();
        // Windows that no answer here fills.
        frame(&mut bytes, SETTINGS, 0, 0, &[0, 4, 0x7f, 0xff, 0xff, 0xff]);
        frame(&mut bytes, WINDOW_UPDATE, 0, 0, &0x7000_0000_u32.to_be_bytes());
        stream.write_all(&bytes).await?;
        Ok(Self { stream, next: 1 })
    }

    /// Whether more requests may follow.
    pub(super) const fn is_fresh(&self) -> bool {
        self.next < 2 * STREAMS
    }

    /// Sends a request, and waits until its stream has ended.
    pub(super) async fn send(&mut self, headers: &Headers, body: &[u8], trailers: &Headers) -> Result<()> {
        let id = self.next;
        self.next += 2;
        let mut bytes = Vec::new();
        let bare = body.is_empty() && trailers.is_empty();
        header_list(&mut bytes, id, headers, bare);
        let mut parts = body.chunks(FRAME).peekable();
        while let Some(part) = parts.next() {
            let last = parts.peek().is_none() && trailers.is_empty();
            frame(&mut bytes, DATA, if last { END_STREAM } else { 0 }, id, part);
        }
        if !trailers.is_empty() {
            header_list(&mut bytes, id, trailers, true);
        }
        timeout(PATIENCE, async {
            self.stream.write_all(&bytes).await?;
            self.ended(id).await
        })
        .await
        .context("no answer in time")?
    }

    async fn ended(&mut self, id: u32) -> Result<()> {
        loop {
            let mut head = [0; 9];
            self.stream.read_exact(&mut head).await?;
            let [a, b, c, kind, flags, d, e, f, g] = head;
            let length = usize::try_from(u32::from_be_bytes([0, a, b, c]))?;
            let mut payload = vec![0; length];
            self.stream.read_exact(&mut payload).await?;
            let stream = u32::from_be_bytes([d & 0x7f, e, f, g]);
            let mut reply = Vec::new();
            match kind {
                SETTINGS if flags & ACK == 0 => frame(&mut reply, SETTINGS, ACK, 0, &[]),
                PING if flags & ACK == 0 => frame(&mut reply, PING, ACK, 0, &payload),
                GO_AWAY => bail!("the server goes away"),
                RESET if stream == id => return Ok(()),
                HEADERS | DATA if stream == id && flags & END_STREAM != 0 => return Ok(()),
                _ => {}
            }
            self.stream.write_all(&reply).await?;
        }
    }
}

fn frame(to: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let length = u32::try_from(payload.len()).unwrap_or_default().to_be_bytes();
    to.extend(length.get(1..).unwrap_or_default());
    to.extend([kind, flags]);
    to.extend(stream.to_be_bytes());
    to.extend(payload);
}

fn header_list(to: &mut Vec<u8>, stream: u32, headers: &Headers, ends: bool) {
    let mut block = Vec::new();
    for (name, value) in headers {
        block.push(0);
        text(&mut block, name);
        text(&mut block, value);
    }
    let mut parts = block.chunks(FRAME).peekable();
    let (mut kind, end_stream) = (HEADERS, if ends { END_STREAM } else { 0 });
    while let Some(part) = parts.next() {
        let end_headers = if parts.peek().is_none() { END_HEADERS } else { 0 };
        let flags = if kind == HEADERS { end_stream | end_headers } else { end_headers };
        frame(to, kind, flags, stream, part);
        kind = CONTINUATION;
    }
}

fn text(to: &mut Vec<u8>, text: &[u8]) {
    let mut rest = text.len();
    if rest < 127 {
        to.push(u8::try_from(rest).unwrap_or_default());
    } else {
        to.push(127);
        rest -= 127;
        while rest >= 128 {
            to.push(u8::try_from(rest % 128).unwrap_or_default() | 128);
            rest /= 128;
        }
        to.push(u8::try_from(rest).unwrap_or_default());
    }
    to.extend(text);
}
