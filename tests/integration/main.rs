//! All integration tests, in one binary.

mod tidy;
mod bed;
mod check_response;
mod cli;
mod decisions;
mod envoy_bodies;
mod envoy_config;
mod federation_docs;

#[path = "../support/mod.rs"]
mod support;
