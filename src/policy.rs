//! The policy language: what may be said in a Policy and a Role, and what it means.
//!
//! ```yaml
//! apiVersion: iam.openfaas.com/v1
//! kind: Policy
//! metadata: {name: team-rw, namespace: openfaas}
//! spec:
//!   statement:
//!   - sid: own-namespace
//!     effect: Allow
//!     action: ["Function:*", "Secret:List"]
//!     resource: ["team-${jwt:org}:*"]
//!   - sid: not-at-night
//!     effect: Deny
//!     action: ["Function:Delete"]
//!     resource: ["*"]
//!     condition:
//!       NotIpAddress: {"request:SourceIp": ["10.0.0.0/8"]}
//! ```
//!
//! **Actions** are listed in [`Action`]. A pattern is a name, in which `*` stands for any text and
//! `?` for one character.
//!
//! **Resources** are asked for in four shapes ([`Resource`]). A pattern is `*`, which matches
//! everything, or `NAMESPACE:NAME` with wildcards in both halves. A namespace is matched where the
//! first half matches and the second is `*`; a function or secret where both halves match. The lists
//! of namespaces and of functions may be covered in part ([`Cover`]).
//!
//! **Variables**, `${jwt:CLAIM}`, stand in resources and in values of conditions for the text of a
//! claim, whose own wildcards are literal. In a resource it must be a DNS label. One that cannot be
//! resolved matches nothing in an Allow and any text in a Deny.
//!
//! **Effect** is `Allow` or `Deny`. Order never matters: a Deny that applies wins over every Allow,
//! and without an Allow that applies everything is denied.
//!
//! **Conditions** ([`condition`]) map an operator to keys and each key to values. Between operators
//! and keys stands AND. A positive operator holds when any value matches, a negated one when none
//! does. The operators ([`operator`]) have the meaning of the AWS IAM reference: the `String`,
//! `Numeric` and `Date` families, `Bool`, `Null`, `IpAddress` and `NotIpAddress`; each takes
//! `IfExists` at its end, those of strings `ForAnyValue:` or `ForAllValues:` before. Keys ([`key`])
//! are `jwt:CLAIM`, `jwt:/json/pointer`, `request:SourceIp`, `request:CurrentTime` and
//! `request:Method`.
//!
//! A condition is true, false or indeterminate ([`Truth`]): a list without a set prefix, a value
//! that is no number where one is needed, and all that cannot be read are indeterminate. **An Allow
//! needs true; a Deny applies unless false.** The same holds for the Roles that grant them. So what
//! cannot be read closes, and only for those whom the readable parts do not exclude.
//!
//! **A Role** names Policies and matches identities by `principal` (exact), `condition`, or both.
//! With neither it matches nobody.

pub mod action;
pub mod condition;
pub mod demand;
pub mod key;
mod operand;
pub mod operator;
pub mod pattern;
pub mod resource;
pub mod statement;
pub mod template;

pub use action::{Action, ActionPattern};
pub use condition::{Condition, Truth};
pub use demand::Wanted;
pub use key::{ClaimKey, Context};
pub use operator::{InvalidCondition, Operand, Operator};
pub use resource::{Cover, Resource, ResourcePattern, is_dns_label, is_dns_subdomain};
pub use statement::{Effect, Policy, Role, Statement};
