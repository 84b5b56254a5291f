//! The servers: what Envoy and clients talk to.

pub mod admin;
pub mod connections;
pub mod ext_authz;
pub mod gateway_credentials;
pub mod grpc;
pub mod http;
pub mod listener;
pub mod overload;
pub mod serve;
pub mod tls;

pub use ext_authz::http_status;

use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds since 1970-01-01 UTC.
pub fn now() -> i64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(elapsed.as_secs()).unwrap_or(i64::MAX)
}
