//! Names, checked before any pattern sees them.

use super::{Reason, Refusal};
use crate::policy::{is_dns_label, is_dns_subdomain};

/// `text`, if it is a DNS label. `what` says what it names.
pub(super) fn label<'a>(what: &str, text: &'a str) -> Result<&'a str, Refusal> {
    if is_dns_label(text) {
        return Ok(text);
    }
    Err(Refusal::new(
        Reason::InvalidName,
        format!("{what} is not a dns label: use 1 to 63 of a-z, 0-9 and '-', a letter or digit at both ends"),
    ))
}

/// `text`, if it is a DNS subdomain. `what` says what it names.
pub(super) fn subdomain<'a>(what: &str, text: &'a str) -> Result<&'a str, Refusal> {
    if is_dns_subdomain(text) {
        return Ok(text);
    }
    Err(Refusal::new(
        Reason::InvalidName,
        format!("{what} is not a dns subdomain: use labels of a-z, 0-9 and '-', joined by '.'"),
    ))
}

/// The refusal of a request that lacks a name. `what` says which and where.
pub(super) fn missing(what: &str) -> Refusal {
    Refusal::new(Reason::InvalidName, format!("{what} is missing: send it"))
}
