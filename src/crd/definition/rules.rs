//! What is refused beyond wrong types, and what to do instead: one table of expressions.
//!
//! It says what [`crd`](crate::crd) says when it reads an object: a rule of [`Severity::Error`] fails
//! only where reading reports an error, one of [`Severity::Warning`] where it reports a warning.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1 as ext;

use super::cel::{about, escaped, list, literal, matches};
use crate::compile::Severity;
use crate::crd::jwt_issuer::LOOPBACK;
use crate::identity::lifetime;
use crate::policy::key::{NOT_KEYS, REQUEST_KEYS};
use crate::policy::operator::{OTHER_OPERATORS, STRING_OPERATORS};
use crate::policy::{Action, Effect, Operand, Operator};

/// A rule about a value.
#[derive(Debug, Clone)]
pub(super) struct Rule {
    /// The way to the value, from the object.
    place: Vec<Step>,
    /// The field beneath it that messages name.
    field: Option<&'static str>,
    /// What must hold of `self`, the value.
    test: String,
    /// What is wrong with `self`, as an expression.
    wrong: Option<String>,
    /// What to do.
    cure: String,
    /// Whether it refuses or warns.
    pub(super) severity: Severity,
    /// What a definition does about it.
    pub(super) definition: InDefinition,
}

/// A step on the way to a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// A field that is there.
    Field(&'static str),
    /// A field that may be there.
    Optional(&'static str),
    /// The items of a list of texts.
    Texts,
    /// The items of a list, which have a name in this field.
    Named(&'static str),
    /// The values of a map.
    Values,
}

/// How a definition says a rule.
#[derive(Debug, Clone)]
pub(super) enum InDefinition {
    /// As the test itself.
    Test,
    /// As a test that costs less and refuses less.
    Looser(String),
    /// Its schema says it already.
    Schema,
    /// Not at all: it would cost too much, or is a warning.
    Absent,
}

use Step::{Field, Named, Optional, Texts, Values};

/// The rules of a JwtIssuer.
pub(super) fn jwt_issuer() -> Vec<Rule> {
    let not = |what: &str| format!("'`' + self + '` is {what}'");
    let spec = |step| vec![Field("spec"), step];
    let units = lifetime::units().collect::<Vec<_>>().join("|");
    let duration = format!("^[+]?(([0-9]+([.][0-9]*)?|[.][0-9]+)({units}))+$");
    vec![
        Rule::new(spec(Field("iss")), matches("self", &issuer_pattern()))
            .wrong(not("no issuer"))
            .cure("write its https URL, without query and fragment; http is for loopback hosts only"),
        Rule::new(spec(Optional("issInternal")), matches("self", &base_url_pattern()))
            .wrong(not("no base URL"))
            .cure("write `https://HOST/PATH` or `http://HOST/PATH`, or leave the field out"),
        not_empty(spec(Field("aud"))).cure("is an empty list: name the audiences that are accepted"),
        Rule::new(
            spec(Optional("tokenExpiry")),
            format!("{} && duration(self) >= duration('1s')", matches("self", &duration)),
        )
        .wrong(not("no lifetime"))
        .cure("write numbers with units, such as `30m`, `1h30m` or `12h`, of one second or more"),
    ]
}

/// The rules of a Policy.
pub(super) fn policy() -> Vec<Rule> {
    let statement = vec![Field("spec"), Field("statement"), Named("sid")];
    let of_statement = |steps: &[Step]| [&statement, steps].concat();
    let at_least_one = "is an empty list: name at least one";
    let effects = Effect::ALL.map(Effect::name);
    let mut rules = vec![
        Rule::new(of_statement(&[Field("effect")]), format!("self in {}", list(effects)))
            .wrong("'`' + self + '` is no effect'".to_owned())
            .cure("write `Allow` or `Deny`")
            .definition(InDefinition::Schema),
        not_empty(of_statement(&[Field("action")])).cure(at_least_one),
        not_empty(of_statement(&[Field("resource")])).cure(at_least_one),
        actions(statement.clone(), Effect::Deny),
        actions(statement.clone(), Effect::Allow).warning(),
        not_empty(vec![Field("spec"), Field("statement")])
            .cure("has no statement: the Policy grants nothing")
            .warning(),
    ];
    rules.extend(resources(of_statement(&[Field("resource"), Texts])));
    rules.extend(condition(of_statement(&[Optional("condition")])));
    rules
}

/// A resource without variables, and one that may have some. The pattern in the schema refuses what
/// the looser tests let through, but for variables of claims that are about the token.
fn resources(place: Vec<Step>) -> [Rule; 2] {
    let simple = matches("self", "^[^:]+:[^:]+$");
    let wrong = "'`' + self + '` is not a resource'";
    [
        Rule::new(place.clone(), format!("(self.contains('$') || self == '*' || {simple})"))
            .wrong(wrong.to_owned())
            .cure("write `*` or `NAMESPACE:NAME`, such as `dev:*` or `dev:checkout`")
            .definition(InDefinition::Looser(format!("self == '*' || {}", matches("self", ".:.")))),
        Rule::new(place, format!("(!self.contains('$') || {})", with_variables(&resource_pattern())))
            .wrong(wrong.to_owned())
            .cure(&format!("write `NAMESPACE:NAME`; {VARIABLES}"))
            .definition(InDefinition::Schema),
    ]
}

const VARIABLES: &str = "the only variables are `${jwt:CLAIM}`, of claims about the identity";

/// The rules of a Role.
pub(super) fn role() -> Vec<Rule> {
    let spec = |step| vec![Field("spec"), step];
    let principal = spec(Optional("principal"));
    let mut rules = vec![
        not_empty(spec(Optional("policy"))).cure("is an empty list: name at least one Policy"),
        empty_map(principal.clone()),
        Rule::new(vec![Field("spec")], "has(self.policy)".to_owned())
            .field("policy")
            .cure("is missing: the Role names no Policy and grants nothing")
            .warning(),
        Rule::new(vec![Field("spec")], "has(self.principal) || has(self.condition)".to_owned())
            .cure("has neither `principal` nor `condition`: the Role matches nobody")
            .warning(),
    ];
    rules.extend(keys(principal));
    rules.extend(condition(spec(Optional("condition"))));
    rules
}

/// Every action of a statement with this effect must be one that exists: in a Deny, what it was to
/// forbid would stay allowed.
fn actions(statement: Vec<Step>, effect: Effect) -> Rule {
    let names = || Action::ALL.iter().map(|action| action.name());
    let all = format!(" {} ", names().collect::<Vec<_>>().join(" "));
    let exists = format!(
        "{} && {}.matches(' ' + a.replace('*', {}).replace('?', {}) + ' ')",
        matches("a", "^[A-Za-z:*?]+$"),
        literal(&all),
        literal(r"\S*"),
        literal(r"\S"),
    );
    let mut kinds: Vec<_> = names().filter_map(|name| Some(name.split_once(':')?.0)).collect();
    kinds.dedup();
    let looks_like_one = format!("^[^:]*[*?]|^({}):.*[*?]", kinds.join("|"));
    let looser = format!("a in {} || {}", list(names()), matches("a", &looks_like_one));
    let other = format!("self.effect != {}", literal(effect.name()));
    Rule::new(statement, format!("{other} || self.action.all(a, {exists})"))
        .field("action")
        .wrong(format!("'no action matches `' + self.action.filter(a, !({exists}))[0] + '`'"))
        .cure(&format!(
            "there are {}, and patterns of them with `*` and `?`",
            names().collect::<Vec<_>>().join(", ")
        ))
        .definition(InDefinition::Looser(format!("{other} || self.action.all(a, {looser})")))
}

/// `operator -> key -> values`.
fn condition(place: Vec<Step>) -> Vec<Rule> {
    let names: Vec<_> = Operand::ALL.into_iter().map(Operator::names_of).collect();
    let known = matches("op", &format!("^({})$", names.join("|")));
    let operator = [&place[..], &[Values]].concat();
    let value = [&operator[..], &[Values, Texts]].concat();
    let mut rules = vec![
        empty_map(place.clone()),
        Rule::new(place.clone(), format!("self.all(op, {known})"))
            .wrong(format!("'unknown operator `' + self.filter(op, !{known})[0] + '`'"))
            .cure(&format!("the string operators are {STRING_OPERATORS}; others are {OTHER_OPERATORS}")),
        empty_map(operator.clone()),
        Rule::new(value, value_test())
            .wrong("'in the value `' + self + '`'".to_owned())
            .cure(VARIABLES)
            // But for variables of claims that are about the token.
            .definition(InDefinition::Schema),
    ];
    rules.extend(keys(operator));
    let typed = Operand::ALL.into_iter().filter(|operand| *operand != Operand::Text);
    rules.extend(typed.map(|operand| values(place.clone(), operand)));
    rules
}

/// `key -> values`.
fn keys(place: Vec<Step>) -> Vec<Rule> {
    let requests = list(REQUEST_KEYS.iter().map(|(name, _)| *name));
    let known = format!("(k in {requests} || {})", matches("k", "^jwt:(?s:.)"));
    let about_the_token = matches("k", &format!("^jwt:{}", token_claim("$")));
    let at_least_one = "is an empty list: name at least one, or leave the key out";
    vec![
        Rule::new(place.clone(), format!("self.all(k, {known})"))
            .wrong(format!("'unknown key `' + self.filter(k, !{known})[0] + '`'"))
            .cure("use `jwt:CLAIM`, `request:SourceIp`, `request:CurrentTime` or `request:Method`"),
        Rule::new(place.clone(), format!("self.all(k, !{about_the_token})"))
            .wrong(format!("'`' + self.filter(k, {about_the_token})[0] + '` is about the token and not about the identity'"))
            .cure("use another claim"),
        not_empty([&place[..], &[Values]].concat()).cure(at_least_one),
    ]
}

/// The values of operators that do not compare texts.
fn values(condition: Vec<Step>, operand: Operand) -> Rule {
    let number = matches("v", NUMBER);
    let fits = match operand {
        Operand::Text => "true".to_owned(),
        Operand::Number => number,
        Operand::Date => format!("{number} || {}", matches("v", DATE)),
        Operand::Boolean | Operand::Presence => "v.lowerAscii() in ['true', 'false']".to_owned(),
        Operand::Address => format!("isIP(v) || isCIDR(v) || {}", matches("v", MAPPED_ADDRESS)),
    };
    let variable = if operand == Operand::Presence { "" } else { "v.contains('${') || " };
    let other = format!("!{}", matches("op", &format!("^{}$", Operator::names_of(operand))));
    let holds = format!("({other} || self[op].all(k, self[op][k].all(v, {variable}{fits})))");
    Rule::new(condition, format!("self.all(op, {holds})"))
        .wrong(format!("'in `' + self.filter(op, !{holds})[0] + '`'"))
        .cure(&format!("every value must be {}", operand.expected()))
        .definition(InDefinition::Absent)
}

/// A decimal number. How large it may be is not looked for.
pub(super) const NUMBER: &str = "^[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][+-]?[0-9]+)?$";

/// A date, or a date and time with an offset. Days that a month does not have are not looked for.
pub(super) const DATE: &str = "^([0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])\
    |([+-][0-9]{6}|[0-9]{4})-?(0[1-9]|1[0-2])-?(0[1-9]|[12][0-9]|3[01])\
    [Tt ]([01][0-9]|2[0-3])(:?[0-5][0-9](:?([0-5][0-9]|60)([.,][0-9]{1,9})?)?)?\
    ([Zz]|[+-][0-9]{2}(:?[0-9]{2}){0,2})([\\[][^\\[\\]]*[\\]])*)$";

/// IPv4 mapped into IPv6, which `isIP` does not take.
const MAPPED_ADDRESS: &str = "^[0:]*:[fF]{4}:[0-9a-fA-F.:]+(/[0-9]+)?$";

fn not_empty(place: Vec<Step>) -> Rule {
    Rule::new(place, "size(self) > 0".to_owned())
}

fn empty_map(place: Vec<Step>) -> Rule {
    not_empty(place).cure("is an empty map: say whom or what it is about, or leave it out")
}

/// A claim that is about the token, by name or as a JSON Pointer into it, up to this end.
fn token_claim(end: &str) -> String {
    let names = NOT_KEYS.join("|");
    format!("(/?({names}){end}|/({names})/)")
}

pub(super) fn token_variable() -> String {
    format!(r"\$\{{jwt:{}", token_claim(r"\}"))
}

/// Without a variable the test is a simple one: an admission policy pays for each text.
fn value_test() -> String {
    format!("(!self.contains('$') || {})", with_variables(&value_pattern()))
}

fn with_variables(pattern: &str) -> String {
    format!("{} && !{}", matches("self", pattern), matches("self", &token_variable()))
}

/// `*`, or two halves around a colon that is not in a variable. A `${` must begin a variable.
pub(super) fn resource_pattern() -> String {
    let half = r"(([^:$]|\$+[^:${]|\$+\{jwt:[^}]+\})+\$*|\$+)";
    format!(r"^(\*|{half}:{half})$")
}

/// A text in which every `${` begins a variable.
pub(super) fn value_pattern() -> String {
    r"^([^$]|\$+[^${]|\$+\{jwt:[^}]+\})*\$*$".to_owned()
}

const AUTHORITY: &str = r"[A-Za-z0-9._~!$&'()*+,;=\[\]-][A-Za-z0-9._~!$&'()*+,;=:\[\]-]*";
const PATH: &str = r"(/[^?#@<>`\x00-\x20\x7f]*)?";

pub(super) fn issuer_pattern() -> String {
    let hosts: Vec<_> = LOOPBACK.iter().map(|host| escaped(host)).collect();
    format!("^((?i:https)://{AUTHORITY}|(?i:http)://({})(:[0-9]*)?){PATH}$", hosts.join("|"))
}

pub(super) fn base_url_pattern() -> String {
    format!("^(?i:https?)://{AUTHORITY}{PATH}$")
}

// === impl Rule ===

impl Rule {
    fn new(place: Vec<Step>, test: String) -> Self {
        let (severity, definition) = (Severity::Error, InDefinition::Test);
        Self { place, field: None, test, wrong: None, cure: String::new(), severity, definition }
    }

    fn field(mut self, field: &'static str) -> Self {
        self.field = Some(field);
        self
    }

    fn wrong(mut self, wrong: String) -> Self {
        self.wrong = Some(wrong);
        self
    }

    fn cure(mut self, cure: &str) -> Self {
        self.cure = cure.to_owned();
        self
    }

    fn definition(mut self, definition: InDefinition) -> Self {
        self.definition = definition;
        self
    }

    fn warning(mut self) -> Self {
        self.severity = Severity::Warning;
        self.definition(InDefinition::Absent)
    }

    /// Adds the rule to the schema of an object. True if it stands there now.
    pub(super) fn add_to(&self, schema: &mut ext::JSONSchemaProps) -> bool {
        let test = match &self.definition {
            InDefinition::Test => self.test.clone(),
            InDefinition::Looser(test) => test.clone(),
            InDefinition::Schema | InDefinition::Absent => return false,
        };
        let Some(value) = self.place.iter().try_fold(schema, |schema, step| step.of_schema(schema)) else {
            return false;
        };
        // A looser test may fail to find what the exact one would quote.
        let exact = matches!(self.definition, InDefinition::Test);
        let said = |wrong: &String| format!("{wrong} + {}", literal(&format!(": {}", self.cure)));
        value.x_kubernetes_validations.get_or_insert_default().push(ext::ValidationRule {
            rule: test,
            field_path: self.field.map(|field| format!(".{field}")),
            message: Some(self.cure.clone()),
            message_expression: self.wrong.as_ref().filter(|_| exact).map(said),
            ..Default::default()
        });
        true
    }

    /// Whether the rule holds in the object of this name.
    pub(super) fn holds_in(&self, object: &str) -> String {
        self.holds(&self.place, object, 0)
    }

    fn holds(&self, place: &[Step], value: &str, depth: usize) -> String {
        let Some((step, rest)) = place.split_first() else { return about(&self.test, value) };
        let inner = format!("x{depth}");
        match step {
            Field(name) => self.holds(rest, &format!("{value}.{name}"), depth),
            Optional(name) => {
                format!("(!has({value}.{name}) || {})", self.holds(rest, &format!("{value}.{name}"), depth))
            }
            Texts | Named(_) => format!("{value}.all({inner}, {})", self.holds(rest, &inner, depth + 1)),
            Values => {
                let held = self.holds(rest, &format!("{value}[{inner}]"), depth + 1);
                format!("{value}.all({inner}, {held})")
            }
        }
    }

    /// What is said where nothing of the object is known.
    pub(super) fn message(&self) -> String {
        let fields = self.place.iter().map(|step| match step {
            Field(name) | Optional(name) => format!(".{name}"),
            Texts | Named(_) | Values => "[]".to_owned(),
        });
        let path: String = fields.chain(self.field.map(|field| format!(".{field}"))).collect();
        format!("{}: {}", path.trim_start_matches('.'), self.cure)
    }

    /// What is said of the first value in the object for which the rule does not hold, as an
    /// expression.
    pub(super) fn message_in(&self, object: &str) -> String {
        self.said(&self.place, object, &mut Vec::new(), String::new(), 0)
    }

    /// `path` are the terms before `text`, which is not yet one.
    fn said(
        &self,
        place: &[Step],
        value: &str,
        path: &mut Vec<String>,
        text: String,
        depth: usize,
    ) -> String {
        let Some((step, rest)) = place.split_first() else {
            let field = self.field.map(|field| format!(".{field}")).unwrap_or_default();
            match &self.wrong {
                Some(wrong) => {
                    path.push(literal(&format!("{text}{field}: ")));
                    path.push(format!("({})", about(wrong, value)));
                    path.push(literal(&format!(": {}", self.cure)));
                }
                None => path.push(literal(&format!("{text}{field}: {}", self.cure))),
            }
            return path.join(" + ");
        };
        let inner = format!("x{depth}");
        let item = match step {
            Field(name) | Optional(name) => {
                let dot = if path.is_empty() && text.is_empty() { "" } else { "." };
                return self.said(
                    rest,
                    &format!("{value}.{name}"),
                    path,
                    format!("{text}{dot}{name}"),
                    depth,
                );
            }
            Texts | Named(_) => inner.clone(),
            Values => format!("{value}[{inner}]"),
        };
        let wrong = format!("{value}.filter({inner}, !({}))", self.holds(rest, &item, depth + 1));
        let text = match step {
            Named(name) => {
                path.extend([literal(&format!("{text}[")), format!("{inner}.{name}")]);
                "]".to_owned()
            }
            Values => {
                path.extend([literal(&format!("{text}.")), inner.clone()]);
                String::new()
            }
            _ => text,
        };
        format!("{wrong}.map({inner}, {})[0]", self.said(rest, &item, path, text, depth + 1))
    }
}

// === impl Step ===

impl Step {
    fn of_schema(self, schema: &mut ext::JSONSchemaProps) -> Option<&mut ext::JSONSchemaProps> {
        match self {
            Field(name) | Optional(name) => schema.properties.as_mut()?.get_mut(name),
            Texts | Named(_) => match schema.items.as_mut()? {
                ext::JSONSchemaPropsOrArray::Schema(items) => Some(items),
                ext::JSONSchemaPropsOrArray::Schemas(_) => None,
            },
            Values => match schema.additional_properties.as_mut()? {
                ext::JSONSchemaPropsOrBool::Schema(values) => Some(values),
                ext::JSONSchemaPropsOrBool::Bool(_) => None,
            },
        }
    }
}
