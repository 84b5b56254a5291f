//! A request as the corpora write it:
//!
//! ```text
//! DELETE /system/functions?namespace=dev
//! authorization: Bearer x
//!
//! {"functionName": "f"}
//! ```

use crate::route::HttpRequest;

/// A request that was read from a corpus, or that a fuzzer made.
pub(super) struct Written {
    pub(super) method: String,
    pub(super) target: String,
    /// In their order, names in lower case.
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Written {
    /// Reads any bytes. What is not UTF-8 before the body is replaced, as Envoy sends texts only.
    pub(super) fn read(data: &[u8]) -> Self {
        let end = data.windows(2).position(|two| two == b"\n\n");
        let (head, body) = end.map_or((data, &[][..]), |end| {
            let (head, rest) = data.split_at(end);
            (head, rest.get(2..).unwrap_or_default())
        });
        let head = String::from_utf8_lossy(head);
        let mut lines = head.split('\n');
        let (method, target) = lines.next().and_then(|line| line.split_once(' ')).unwrap_or_default();
        let headers = lines.filter_map(|line| line.split_once(": "));
        Self {
            method: method.to_owned(),
            target: target.to_owned(),
            headers: headers.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect(),
            body: body.to_vec(),
        }
    }

    /// A header; repeated ones are joined with a comma, as Envoy does.
    pub(super) fn header(&self, name: &str) -> Option<String> {
        let values: Vec<_> =
            self.headers.iter().filter(|(found, _)| found == name).map(|(_, value)| value.as_str()).collect();
        (!values.is_empty()).then(|| values.join(","))
    }

    /// Calls `with` with what the route is read from.
    pub(super) fn with_http<T>(&self, with: impl FnOnce(HttpRequest<'_>) -> T) -> T {
        let (content_length, callback_url) = (self.header("content-length"), self.header("x-callback-url"));
        with(HttpRequest {
            method: &self.method,
            target: &self.target,
            content_length: content_length.as_deref(),
            partial_body: self.header("x-envoy-auth-partial-body").as_deref() == Some("true"),
            callback_url: callback_url.as_deref(),
            body: &self.body,
        })
    }
}
