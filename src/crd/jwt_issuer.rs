//! `JwtIssuer`.

use http::Uri;
use serde_json::Value;

use super::reader::Reader;
use crate::compile::{Code, JwtIssuer};
use crate::identity::lifetime;

/// Hosts whose issuers may have plain http.
pub(super) const LOOPBACK: &[&str] = &["localhost", "127.0.0.1", "[::1]"];

/// Reads the spec of a JwtIssuer; an unreadable one admits nothing.
pub(super) fn read(spec: Value, reader: &mut Reader<'_>) -> Option<JwtIssuer> {
    let mut spec = reader.map("spec", spec)?;
    let iss = reader.text("spec.iss", spec.remove("iss")).filter(|iss| fits(iss, reader));
    let aud = match spec.remove("aud") {
        Some(value) => Some(reader.texts("spec.aud", value)),
        None => {
            reader.error("spec.aud", Code::MissingField, "is missing: name the audiences that are accepted");
            None
        }
    };
    let aud = aud.filter(|aud| aud.readable).map(|aud| aud.items);
    let iss_internal = match spec.remove("issInternal") {
        None | Some(Value::Null) => Some(None),
        value => reader.text("spec.issInternal", value).filter(|url| fits_internal(url, reader)).map(Some),
    };
    let token_expiry = match spec.remove("tokenExpiry") {
        None | Some(Value::Null) => Some(lifetime::DEFAULT),
        value => reader.text("spec.tokenExpiry", value).and_then(|text| {
            let read = lifetime::parse(&text);
            read.map_err(|error| reader.error("spec.tokenExpiry", Code::InvalidDuration, error.to_string()))
                .ok()
        }),
    };
    let known = "`iss`, `aud`, `issInternal` and `tokenExpiry`";
    let readable = reader.no_more_fields("spec", &spec, known);
    match (iss, aud, iss_internal, token_expiry, readable) {
        (Some(iss), Some(aud), Some(iss_internal), Some(token_expiry), true) => {
            Some(JwtIssuer { iss, aud, iss_internal, token_expiry })
        }
        _ => None,
    }
}

/// An issuer is an https URL without query and fragment (OpenID Connect Core 1.0, section 2); plain
/// http is accepted for loopback hosts, where nobody can listen in.
fn fits(iss: &str, reader: &mut Reader<'_>) -> bool {
    let fits = match parts(iss) {
        Some((scheme, host)) => scheme == "https" || scheme == "http" && LOOPBACK.contains(&host.as_str()),
        None => false,
    };
    if !fits {
        let message = format!(
            "`{iss}` is no issuer: write its https URL, without query and fragment; http is for loopback hosts only"
        );
        reader.error("spec.iss", Code::InvalidIssuer, message);
    }
    fits
}

fn fits_internal(url: &str, reader: &mut Reader<'_>) -> bool {
    let fits = parts(url).is_some_and(|(scheme, _)| scheme == "https" || scheme == "http");
    if !fits {
        let message = format!("`{url}` is no base URL: write `https://HOST/PATH` or `http://HOST/PATH`");
        reader.error("spec.issInternal", Code::InvalidIssuer, message);
    }
    fits
}

/// Scheme and host of a URL without user, query and fragment.
fn parts(url: &str) -> Option<(String, String)> {
    let uri: Uri = url.parse().ok()?;
    let plain = uri.query().is_none() && !url.contains(['#', '?', '@']);
    let host = uri.host().filter(|host| !host.is_empty())?;
    plain.then_some((uri.scheme_str()?.to_owned(), host.to_owned()))
}
