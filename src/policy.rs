//! The policy language: what may be said in a Policy and a Role, and what it means.

pub mod action;
pub mod condition;
pub mod key;
mod operand;
pub mod operator;
pub mod pattern;
pub mod resource;
pub mod statement;
pub mod template;

pub use action::{Action, ActionPattern};
pub use condition::{Condition, Truth};
pub use key::Context;
pub use operator::{InvalidCondition, Operator};
pub use resource::{Cover, Resource, ResourcePattern, is_dns_label, is_dns_subdomain};
pub use statement::{Effect, Policy, Role, Statement};
