//! What the integration tests and the demo are built on: real processes, and small stand-ins for
//! the systems around `faas-iam`.
//!
//! Everything listens on loopback only. Processes are stopped, by their id, when their owner is
//! dropped.
#![expect(dead_code, reason = "shared by the tests and the demo; each uses a part of it")]

pub(crate) mod api_server;
pub(crate) mod authz_stub;
pub(crate) mod envoy;
pub(crate) mod faas_iam;
pub(crate) mod grpc_client;
pub(crate) mod http;
pub(crate) mod identity_provider;
pub(crate) mod json;
pub(crate) mod oauth;
pub(crate) mod objects;
pub(crate) mod openfaas;
pub(crate) mod patience;
pub(crate) mod process;
pub(crate) mod report;
pub(crate) mod secrets;
pub(crate) mod splitmix;
