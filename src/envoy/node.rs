//! A place in a document, with the path that leads to it.

use serde_json::Value;

/// A value, and where it is.
#[derive(Debug, Clone)]
pub(super) struct Node<'a> {
    value: &'a Value,
    pub(super) path: String,
}

impl<'a> Node<'a> {
    /// The whole document.
    pub(super) fn root(value: &'a Value) -> Self {
        Self { value, path: String::new() }
    }

    /// A member in either spelling; what is null is absent.
    pub(super) fn get(&self, name: &str) -> Option<Self> {
        let members = self.value.as_object()?;
        let (name, value) = match members.get_key_value(name) {
            Some(found) => found,
            None => members.get_key_value(&camel_case(name))?,
        };
        (!value.is_null()).then(|| Self { value, path: self.below(name) })
    }

    /// A member of members: names with dots between them.
    pub(super) fn at(&self, names: &str) -> Option<Self> {
        names.split('.').try_fold(self.clone(), |node, name| node.get(name))
    }

    /// The entries of a list; none where it is absent.
    pub(super) fn list(&self, names: &str) -> Vec<Self> {
        self.at(names).map(|list| list.entries()).unwrap_or_default()
    }

    /// The entries of this list.
    pub(super) fn entries(&self) -> Vec<Self> {
        let entries = self.value.as_array().into_iter().flatten().enumerate();
        entries.map(|(i, value)| Self { value, path: format!("{}[{i}]", self.path) }).collect()
    }

    /// The members of this map, with their names.
    pub(super) fn members(&self) -> Vec<(&'a str, Self)> {
        let members = self.value.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
        members.map(|(name, value)| (name.as_str(), Self { value, path: self.below(name) })).collect()
    }

    /// A text, or the name of an enumeration's value.
    pub(super) fn text(&self) -> Option<&'a str> {
        self.value.as_str()
    }

    /// The text of a member.
    pub(super) fn text_of(&self, names: &str) -> Option<&'a str> {
        self.at(names)?.text()
    }

    /// A boolean, in every spelling that Envoy takes for one in YAML.
    pub(super) fn flag(&self) -> Option<bool> {
        let spelled = |text: &str| match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "y" | "on" => Some(true),
            "false" | "no" | "n" | "off" => Some(false),
            _ => None,
        };
        self.value.as_bool().or_else(|| spelled(self.text()?))
    }

    /// A member, if it is true.
    pub(super) fn is_set(&self, names: &str) -> Option<Self> {
        self.at(names).filter(|node| node.flag() == Some(true))
    }

    /// A number, which protobuf's JSON also writes as a text.
    pub(super) fn number(&self) -> Option<f64> {
        self.value.as_f64().or_else(|| self.text()?.parse().ok())
    }

    /// Seconds of a duration such as `2s`.
    pub(super) fn seconds(&self) -> Option<f64> {
        self.text()?.strip_suffix('s')?.parse().ok()
    }

    /// The name of the message in an `Any`, without its packages, and its fields. A `TypedStruct` is
    /// what it holds.
    pub(super) fn typed(&self) -> Option<(&'a str, Self)> {
        let url = self.text_of("@type")?;
        let name = url.rsplit(['.', '/']).next().unwrap_or(url);
        if name != "TypedStruct" {
            return Some((name, self.clone()));
        }
        let inner = self.text_of("type_url")?;
        Some((inner.rsplit(['.', '/']).next().unwrap_or(inner), self.get("value")?))
    }

    /// Every text at any depth, with where it is.
    pub(super) fn texts(&self) -> Vec<(String, &'a str)> {
        match self.value {
            Value::String(text) => vec![(self.path.clone(), text)],
            Value::Array(_) => self.entries().iter().flat_map(Self::texts).collect(),
            Value::Object(_) => self.members().iter().flat_map(|(_, node)| node.texts()).collect(),
            _ => Vec::new(),
        }
    }

    /// The path of a member, whether it is there or not.
    pub(super) fn below(&self, name: &str) -> String {
        match (self.path.is_empty(), name.contains('.')) {
            (true, _) => name.to_owned(),
            (false, true) => format!("{}[\"{name}\"]", self.path),
            (false, false) => format!("{}.{name}", self.path),
        }
    }
}

/// `failure_mode_allow` as `failureModeAllow`.
fn camel_case(name: &str) -> String {
    let mut camel = String::with_capacity(name.len());
    let mut upper = false;
    for c in name.chars() {
        match c {
            '_' => upper = true,
            c if upper => {
                camel.extend(c.to_uppercase());
                upper = false;
            }
            c => camel.push(c),
        }
    }
    camel
}
