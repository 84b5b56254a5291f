//! All integration tests, in one binary.

mod tidy;
mod bed;
mod check_response;
mod cli;
mod decisions;
mod envoy_bodies;
mod envoy_config;
mod exchange;
mod function_plane;
mod function_tokens;
mod grpc;
mod grpc_client;
mod live;
mod objects;
mod reasons;
mod resilience;
mod route_matrix;
mod route_rows;
mod secrecy;
mod stack;
mod federation_docs;
mod issuers;

#[path = "../support/mod.rs"]
mod support;
