//! Actions, such as `Function:Invoke`, and patterns over them.

use std::fmt;

use super::pattern::Glob;

macro_rules! actions {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)+) => {
        /// What a request does. The list is closed: a name outside it is never asked for.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Action { $($(#[$doc])* $name,)+ }

        impl Action {
            /// Every action.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The name, as policies write it.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }
        }
    };
}

actions! {
    /// List the functions of a namespace.
    FunctionList = "Function:List",
    /// Read one function's status.
    FunctionGet = "Function:Get",
    /// Deploy a new function.
    FunctionCreate = "Function:Create",
    /// Redeploy a function.
    FunctionUpdate = "Function:Update",
    /// Remove a function.
    FunctionDelete = "Function:Delete",
    /// Read a function's logs.
    FunctionLogs = "Function:Logs",
    /// Set a function's replica count.
    FunctionScale = "Function:Scale",
    /// Call a function.
    FunctionInvoke = "Function:Invoke",
    /// List the secrets of a namespace.
    SecretList = "Secret:List",
    /// Create a secret.
    SecretCreate = "Secret:Create",
    /// Replace a secret's value.
    SecretUpdate = "Secret:Update",
    /// Remove a secret.
    SecretDelete = "Secret:Delete",
    /// List the namespaces for functions.
    NamespaceList = "Namespace:List",
    /// Read one namespace's details.
    NamespaceGet = "Namespace:Get",
    /// Create a namespace.
    NamespaceCreate = "Namespace:Create",
    /// Change a namespace.
    NamespaceUpdate = "Namespace:Update",
    /// Remove a namespace.
    NamespaceDelete = "Namespace:Delete",
    /// Read the provider's information.
    SystemInfo = "System:Info",
    /// Ask about the decisions of others.
    IamReview = "IAM:Review",
}

/// A pattern over action names: `*` stands for any text and `?` for one character.
/// It is kept as the set of actions that it matches, so that matching is one bit test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ActionPattern(u32);

impl Action {
    /// The action with exactly this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|action| action.name() == name)
    }

    const fn bit(self) -> u32 {
        1 << self as u32
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl ActionPattern {
    /// Matches no action.
    pub const NONE: Self = Self(0);

    /// Matches every action.
    pub const ANY: Self = Self(u32::MAX);

    /// Reads a pattern. It may match nothing: see [`ActionPattern::is_empty`].
    pub fn parse(text: &str) -> Self {
        let glob = Glob::parse(text);
        let bits = Action::ALL.iter().filter(|action| glob.matches(action.name()));
        Self(bits.fold(0, |set, action| set | action.bit()))
    }

    /// Whether no action exists that the pattern matches.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether the pattern matches `action`.
    pub const fn matches(self, action: Action) -> bool {
        self.0 & action.bit() != 0
    }

    /// The pattern that matches what either matches.
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, expected: &[Action]) {
        let pattern = ActionPattern::parse(pattern);
        let matched: Vec<_> = Action::ALL.iter().copied().filter(|a| pattern.matches(*a)).collect();
        assert_eq!(matched, expected);
    }

    #[test]
    fn patterns_match_full_names() {
        use Action::*;
        check("Function:List", &[FunctionList]);
        check("Secret:*", &[SecretList, SecretCreate, SecretUpdate, SecretDelete]);
        check("*:List", &[FunctionList, SecretList, NamespaceList]);
        check("Function:?et", &[FunctionGet]);
        check("*", Action::ALL);
        for nothing in ["Function", "function:list", "Function:Read", "Function:List ", "", "Function:Lis"] {
            check(nothing, &[]);
            assert!(ActionPattern::parse(nothing).is_empty());
        }
    }

    #[test]
    fn names_are_read_back() {
        for action in Action::ALL {
            assert_eq!(Action::parse(action.name()), Some(*action));
        }
    }
}
