//! The servers: what Envoy and clients talk to.

pub mod admin;
pub mod ext_authz;
pub mod gateway_credentials;
pub mod grpc;
