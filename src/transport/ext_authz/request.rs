//! The only reader of Envoy's `CheckRequest`.

use std::borrow::Cow;
use std::net::IpAddr;

use envoy_types::pb::envoy::service::auth::v3::CheckRequest;
use envoy_types::pb::envoy::service::auth::v3::attribute_context::HttpRequest as Attributes;

use crate::route::HttpRequest;

/// The key and value of the context extension that accepts the gateway's administrator
/// (`check_settings.context_extensions` of a route).
const ADMIN_EXTENSION: (&str, &str) = ("admin-basic-auth", "allow");

/// What a `CheckRequest` says, as far as it is looked at.
pub(crate) struct Incoming<'a> {
    attributes: &'a Attributes,
    /// Whether the route's configuration accepts the gateway's administrator.
    pub(crate) accepts_admin: bool,
}

impl<'a> Incoming<'a> {
    /// None where the message is not about an HTTP request.
    pub(crate) fn read(request: &'a CheckRequest) -> Option<Self> {
        let attributes = request.attributes.as_ref()?;
        let (key, value) = ADMIN_EXTENSION;
        let accepts_admin = attributes.context_extensions.get(key).is_some_and(|found| found == value);
        let attributes = attributes.request.as_ref()?.http.as_ref()?;
        Some(Self { attributes, accepts_admin })
    }

    /// A header by its lower-case name. Repeated ones are joined with a comma, as Envoy does where it
    /// sends a plain map.
    pub(crate) fn header(&self, name: &str) -> Option<Cow<'a, str>> {
        let Some(raw) = &self.attributes.header_map else {
            return self.attributes.headers.get(name).map(|value| Cow::Borrowed(value.as_str()));
        };
        let found = raw.headers.iter().filter(|header| header.key.eq_ignore_ascii_case(name));
        let values: Vec<Cow<'_, str>> = found
            .map(|header| match header.raw_value.as_slice() {
                [] => Cow::Borrowed(header.value.as_str()),
                bytes => String::from_utf8_lossy(bytes),
            })
            .collect();
        (!values.is_empty()).then(|| Cow::Owned(values.join(",")))
    }

    pub(crate) fn method(&self) -> &'a str {
        &self.attributes.method
    }

    /// The path without its query.
    pub(crate) fn path(&self) -> &'a str {
        self.attributes.path.split_once('?').map_or(self.attributes.path.as_str(), |(path, _)| path)
    }

    /// The client's address, as Envoy sets it over whatever the client sends.
    pub(crate) fn source_ip(&self) -> Option<IpAddr> {
        let address: IpAddr = self.header("x-envoy-external-address")?.parse().ok()?;
        Some(address.to_canonical())
    }

    /// The request, once the headers that it borrows are there.
    pub(crate) fn http<'b>(&'b self, headers: &'b Headers<'_>) -> HttpRequest<'b> {
        HttpRequest {
            method: &self.attributes.method,
            target: &self.attributes.path,
            content_length: headers.content_length.as_deref(),
            partial_body: headers.partial_body.as_deref() == Some("true"),
            callback_url: headers.callback_url.as_deref(),
            body: &self.attributes.raw_body,
        }
    }

    pub(crate) fn headers(&self) -> Headers<'a> {
        Headers {
            authorization: self.header("authorization"),
            content_length: self.header("content-length"),
            partial_body: self.header("x-envoy-auth-partial-body"),
            callback_url: self.header("x-callback-url"),
        }
    }
}

/// The headers that a decision depends on.
pub(crate) struct Headers<'a> {
    pub(crate) authorization: Option<Cow<'a, str>>,
    content_length: Option<Cow<'a, str>>,
    partial_body: Option<Cow<'a, str>>,
    callback_url: Option<Cow<'a, str>>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use envoy_types::pb::envoy::config::core::v3::{HeaderMap, HeaderValue};

    #[test]
    fn repeated_raw_headers_are_joined() {
        let header = |key: &str, value: &str, raw: &[u8]| HeaderValue {
            key: key.into(),
            value: value.into(),
            raw_value: raw.to_vec(),
        };
        let headers = vec![header("Authorization", "a", b""), header("authorization", "", b"b\xff")];
        let attributes = Attributes { header_map: Some(HeaderMap { headers }), ..Attributes::default() };
        let incoming = Incoming { attributes: &attributes, accepts_admin: false };
        assert_eq!(incoming.header("authorization").as_deref(), Some("a,b\u{fffd}"));
        assert_eq!(incoming.header("x"), None);
    }
}
