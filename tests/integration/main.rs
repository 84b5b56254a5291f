//! All integration tests, in one binary.

mod tidy;
mod bed;
mod check_envoy;
mod check_response;
mod cli;
mod decisions;
mod dockerfile;
mod envoy_bodies;
mod envoy_config;
mod envoy_mutations;
mod exchange;
mod floods;
mod frames;
mod full;
mod function_plane;
mod function_tokens;
mod grpc;
mod live;
mod mutual_tls;
mod reasons;
mod refusals;
mod policy_tests;
mod resilience;
mod reviews;
mod route_matrix;
mod route_rows;
mod provider_trouble;
mod secrecy;
mod secret_canary;
mod stack;
mod federation_docs;
mod issuers;

#[path = "../support/mod.rs"]
mod support;

use support::{grpc_client, objects};
