//! HTTP clients: one that sends exactly the bytes it is given, and an ordinary one.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// An answer, as it was on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RawResponse {
    /// The status code.
    pub(crate) status: u16,
    /// All headers in their order, names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    /// The body, without chunk frames.
    pub(crate) body: Vec<u8>,
}

// === impl RawResponse ===

impl RawResponse {
    /// The first value of a header; `name` in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Sends an HTTP/1.1 request with the target and headers exactly as given. `Host`,
/// `Connection: close` and, where there is a body, `Content-Length` are added.
pub(crate) async fn request(
    address: SocketAddr,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Result<RawResponse> {
    let mut head = format!("{method} {target} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() {
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    head.push_str("\r\n");
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(body);
    raw(address, &bytes).await
}

/// Sends exactly `bytes` and reads the answer: until it is complete by its `Content-Length`, or else
/// until the server closes the connection.
pub(crate) async fn raw(address: SocketAddr, bytes: &[u8]) -> Result<RawResponse> {
    let stream = TcpStream::connect(address).await?;
    let (mut from, mut to) = stream.into_split();
    let send = async {
        // A server that refuses early stops reading: what it answered is still to be read. The
        // write half is kept, for a server that takes its end for the end of the client.
        to.write_all(bytes).await.ok();
        std::future::pending::<()>().await;
    };
    let mut answer = Vec::new();
    let receive = async {
        // A reset after the answer is as good as a close.
        while from.read_buf(&mut answer).await.is_ok_and(|read| read > 0) {
            if is_complete(&answer) {
                break;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), async {
        tokio::select! {
            () = receive => {}
            () = send => {}
        }
    })
    .await
    .context("no complete answer after 30 s")?;
    parse(&answer)
}

fn is_complete(answer: &[u8]) -> bool {
    parse(answer).is_ok_and(|response| {
        let length = response.header("content-length").and_then(|value| value.parse().ok());
        length.is_some_and(|length: usize| response.body.len() >= length)
    })
}

/// An ordinary client: no redirects, no proxy, a total limit of 30 seconds.
pub(crate) fn client() -> Result<reqwest::Client> {
    Ok(reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .timeout(Duration::from_secs(30))
        .build()?)
}

fn parse(answer: &[u8]) -> Result<RawResponse> {
    let Some(end) = answer.windows(4).position(|part| part == b"\r\n\r\n") else {
        bail!("no complete answer, only {} bytes", answer.len());
    };
    let (head, body) = answer.split_at(end);
    let body = body.get(4..).unwrap_or_default();
    let head = String::from_utf8_lossy(head);
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).context("no status line")?.parse()?;
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let chunked = headers.iter().any(|(name, value)| name == "transfer-encoding" && value == "chunked");
    let body = if chunked { join_chunks(body)? } else { body.to_vec() };
    Ok(RawResponse { status, headers, body })
}

fn join_chunks(mut rest: &[u8]) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|part| part == b"\r\n").context("a chunk without its size")?;
        let (size, after) = rest.split_at(end);
        let size = usize::from_str_radix(std::str::from_utf8(size)?, 16)?;
        if size == 0 {
            return Ok(body);
        }
        let chunk = after.get(2..2 + size).context("a chunk that was cut off")?;
        body.extend_from_slice(chunk);
        rest = after.get(2 + size + 2..).unwrap_or_default();
    }
}
