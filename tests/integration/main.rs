//! All integration tests, in one binary.

mod tidy;
mod bed;
mod check_response;
mod envoy_bodies;
mod envoy_config;
mod issuers;

#[path = "../support/mod.rs"]
mod support;
