//! What holds for whatever comes in: for each reader a function that takes any bytes, and panics
//! where one of its rules does not hold.
//!
//! Fuzzers run them on what they invent (`fuzz/`, `make fuzz`), and the tests of this module on the
//! inputs of `fuzz/corpus`, where each past finding has a file with its name.
#![expect(clippy::panic, clippy::unwrap_used, reason = "a rule that does not hold ends a test")]

mod body;
mod check;
mod decide;
mod policy;
mod request;
mod route;
mod token;
pub(crate) mod world;

pub use body::body;
pub use check::check;
pub use decide::decide;
pub use policy::policy;
pub use route::route;
#[cfg(test)]
pub(crate) use route::sound;
pub use token::token;

/// Takes any bytes, and panics where something does not hold. True if something was read or allowed.
pub type Target = fn(&[u8]) -> bool;

/// The functions of this module by the names of their targets and folders.
pub const TARGETS: &[(&str, Target)] = &[
    ("body", body),
    ("check", check),
    ("decide", decide),
    ("policy", policy),
    ("route", route),
    ("token", token),
];

#[cfg(test)]
mod tests;
