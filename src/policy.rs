//! The policy language: what may be said in a Policy and a Role, and what it means.

pub mod action;
pub mod pattern;
pub mod resource;

pub use action::{Action, ActionPattern};
pub use resource::{Resource, is_dns_label, is_dns_subdomain};
