//! Statements, Policies and Roles.

use super::action::{Action, ActionPattern};
use super::condition::{Condition, Truth};
use super::key::{ClaimKey, Context};
use super::resource::{Cover, Resource, ResourcePattern};
use crate::identity::Principal;

/// What a statement does when it applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Effect {
    /// Allows, unless any statement denies.
    Allow,
    /// Denies, whatever other statements allow.
    Deny,
}

/// One statement of a Policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Its `sid`, or `#INDEX` where it has none.
    pub sid: String,
    /// What it does.
    pub effect: Effect,
    /// The actions that it is about.
    pub actions: ActionPattern,
    /// The resources that it is about: any of them.
    pub resources: Vec<ResourcePattern>,
    /// When it applies; always, where there is none.
    pub condition: Option<Condition>,
    /// Whether it stands for something that could not be read.
    pub closed: bool,
}

/// A set of statements that Roles grant by name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Policy {
    /// The statements, in the order of the object; the order means nothing.
    pub statements: Vec<Statement>,
}

/// Binds identities to Policies.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Role {
    /// Names of Policies in the Role's own namespace.
    pub policies: Vec<String>,
    /// Set where the list of Policies could not be read in full: what it may have named is closed.
    pub unreadable_policies: bool,
    /// `principal`: exact matches, as a condition.
    pub principal: Option<Condition>,
    /// `condition`.
    pub condition: Option<Condition>,
    /// Set where any other part of the Role could not be read: it then never grants.
    pub unreadable: bool,
}

// === impl Effect ===

impl Effect {
    /// Both effects.
    pub const ALL: [Self; 2] = [Self::Allow, Self::Deny];

    /// As policies write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Allow => "Allow",
            Self::Deny => "Deny",
        }
    }

    /// The effect with exactly this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|effect| effect.name() == name)
    }
}

// === impl Statement ===

impl Statement {
    /// What an unreadable statement that is not plainly an Allow counts as: a Deny on everything.
    pub fn closed(sid: String) -> Self {
        Self {
            sid,
            effect: Effect::Deny,
            actions: ActionPattern::ANY,
            resources: vec![ResourcePattern::ANY],
            condition: None,
            closed: true,
        }
    }

    /// How much of the request the statement covers for this identity, where it applies: an Allow
    /// must apply for certain, a Deny must merely not be excluded.
    pub fn cover(
        &self,
        action: Action,
        resource: &Resource,
        principal: &Principal,
        context: &Context,
    ) -> Cover {
        if !self.actions.matches(action) {
            return Cover::None;
        }
        let covers = self.resources.iter().map(|p| p.cover(action, resource, principal, self.effect));
        let cover = covers.max().unwrap_or(Cover::None);
        if cover == Cover::None {
            return cover;
        }
        let condition = self.condition.as_ref().map_or(Truth::True, |c| c.truth(principal, context));
        let applies = match self.effect {
            Effect::Allow => condition == Truth::True,
            Effect::Deny => condition != Truth::False,
        };
        if applies { cover } else { Cover::None }
    }

    /// The claims that the statement asks for.
    pub fn claims(&self) -> impl Iterator<Item = &ClaimKey> {
        let variables = self.resources.iter().flat_map(ResourcePattern::templates).flat_map(|t| t.claims());
        variables.chain(self.condition.iter().flat_map(Condition::claims))
    }
}

// === impl Policy ===

impl Policy {
    /// What an unreadable Policy counts as: a Deny on everything.
    pub fn closed() -> Self {
        Self { statements: vec![Statement::closed("unreadable".to_owned())] }
    }

    /// Whether nothing of the Policy could be read.
    pub fn is_closed(&self) -> bool {
        !self.statements.is_empty() && self.statements.iter().all(|statement| statement.closed)
    }
}

// === impl Role ===

impl Role {
    /// The claims that the Role asks for.
    pub fn claims(&self) -> impl Iterator<Item = &ClaimKey> {
        [&self.principal, &self.condition].into_iter().flatten().flat_map(Condition::claims)
    }

    /// Whether the Role matches the identity. A Role with neither `principal` nor `condition`
    /// matches nobody.
    pub fn matches(&self, principal: &Principal, context: &Context) -> Truth {
        if self.principal.is_none() && self.condition.is_none() && !self.unreadable {
            return Truth::False;
        }
        let readable = if self.unreadable { Truth::Indeterminate } else { Truth::True };
        let parts = [&self.principal, &self.condition].into_iter().flatten();
        parts.fold(readable, |truth, part| match truth {
            Truth::False => truth,
            _ => truth.and(part.truth(principal, context)),
        })
    }
}
