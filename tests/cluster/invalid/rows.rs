//! Objects that cannot be read, or not all of them, each with what is said of it.

/// An object with something wrong in it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    /// Its kind.
    pub(super) kind: &'static str,
    /// Its name, which is also the subject of whom it is tried.
    pub(super) name: &'static str,
    /// Its `spec` as JSON; empty where there is none. `SUBJECT` is the name, `ISS` a provider of its own.
    pub(super) spec: &'static str,
    /// The field that is named.
    pub(super) field: &'static str,
    /// The code.
    pub(super) code: &'static str,
    /// Whether it closes what another Policy allows its subject, or grants what it seems to.
    pub(super) closes: bool,
}

const fn row(
    kind: &'static str,
    name: &'static str,
    spec: &'static str,
    (field, code): (&'static str, &'static str),
    closes: bool,
) -> Row {
    Row { kind, name, spec, field, code, closes }
}

/// All of them.
#[rustfmt::skip]
pub(super) const ROWS: &[Row] = &[
    row("Policy", "policy-no-spec", r#""#, ("spec", "missing-field"), true),
    row("Policy", "policy-spec-is-text", r#""all""#, ("spec", "wrong-type"), true),
    row("Policy", "policy-no-statement", r#"{}"#, ("spec.statement", "missing-field"), true),
    row("Policy", "policy-statement-is-a-map", r#"{"statement":{}}"#, ("spec.statement", "wrong-type"), true),
    row("Policy", "policy-no-statements", r#"{"statement":[]}"#, ("spec.statement", "grants-nothing"), false),
    row("Policy", "policy-statement-is-text", r#"{"statement":["all"]}"#, ("spec.statement[0]", "wrong-type"), true),
    row("Policy", "policy-effect-misspelt", r#"{"statement":[{"sid":"s","effect":"Alow","action":["Function:Get"],"resource":["dev:*"]}]}"#, ("spec.statement[0].effect", "invalid-effect"), true),
    row("Policy", "policy-effect-missing", r#"{"statement":[{"sid":"s","action":["*"],"resource":["*"]}]}"#, ("spec.statement[0].effect", "missing-field"), true),
    row("Policy", "policy-action-unknown", r#"{"statement":[{"sid":"s","effect":"Allow","action":["Function:Read"],"resource":["dev:*"]}]}"#, ("spec.statement[0].action[0]", "unknown-action"), false),
    row("Policy", "policy-action-unknown-in-deny", r#"{"statement":[{"sid":"s","effect":"Deny","action":["Function:Read"],"resource":["dev:*"]}]}"#, ("spec.statement[0].action[0]", "unknown-action"), true),
    row("Policy", "policy-action-is-a-number", r#"{"statement":[{"sid":"s","effect":"Allow","action":7,"resource":["dev:*"]}]}"#, ("spec.statement[0].action[0]", "unknown-action"), false),
    row("Policy", "policy-action-is-empty", r#"{"statement":[{"sid":"s","effect":"Allow","action":[],"resource":["dev:*"]}]}"#, ("spec.statement[0].action", "empty"), false),
    row("Policy", "policy-resource-without-colon", r#"{"statement":[{"sid":"s","effect":"Allow","action":["Function:Get"],"resource":["dev"]}]}"#, ("spec.statement[0].resource[0]", "invalid-resource"), false),
    row("Policy", "policy-resource-without-colon-in-deny", r#"{"statement":[{"sid":"s","effect":"Deny","action":["Function:List"],"resource":["dev"]}]}"#, ("spec.statement[0].resource[0]", "invalid-resource"), true),
    row("Policy", "policy-resource-variable-open", r#"{"statement":[{"sid":"s","effect":"Deny","action":["Function:List"],"resource":["${jwt:org:*"]}]}"#, ("spec.statement[0].resource[0]", "invalid-resource"), true),
    row("Policy", "policy-operator-unknown", r#"{"statement":[{"sid":"s","effect":"Allow","action":["Function:Get"],"resource":["dev:*"],"condition":{"StringIs":{"jwt:sub":["a"]}}}]}"#, ("spec.statement[0].condition.StringIs", "unknown-operator"), false),
    row("Policy", "policy-operator-unknown-in-deny", r#"{"statement":[{"sid":"s","effect":"Deny","action":["Function:List"],"resource":["dev:*"],"condition":{"StringIs":{"jwt:sub":["a"]}}}]}"#, ("spec.statement[0].condition.StringIs", "unknown-operator"), true),
    row("Policy", "policy-key-unknown", r#"{"statement":[{"sid":"s","effect":"Allow","action":["Function:Get"],"resource":["dev:*"],"condition":{"StringEqual":{"sub":["a"]}}}]}"#, ("spec.statement[0].condition.StringEqual.sub", "unknown-key"), false),
    row("Policy", "policy-condition-empty", r#"{"statement":[{"sid":"s","effect":"Deny","action":["Function:List"],"resource":["dev:*"],"condition":{}}]}"#, ("spec.statement[0].condition", "empty"), true),
    row("Policy", "policy-number-expected", r#"{"statement":[{"sid":"s","effect":"Deny","action":["Function:List"],"resource":["dev:*"],"condition":{"NumericEquals":{"jwt:level":["high"]}}}]}"#, ("spec.statement[0].condition.NumericEquals.jwt:level", "invalid-value"), true),
    row("Policy", "policy-address-expected", r#"{"statement":[{"sid":"s","effect":"Deny","action":["Function:List"],"resource":["dev:*"],"condition":{"IpAddress":{"request:SourceIp":["10.0.0.0/64"]}}}]}"#, ("spec.statement[0].condition.IpAddress.request:SourceIp", "invalid-value"), true),
    row("Policy", "policy-field-unknown", r#"{"statement":[{"sid":"s","effect":"Allow","action":["Function:Get"],"resource":["dev:*"],"conditions":{}}]}"#, ("spec.statement[0].conditions", "unknown-field"), false),
    row("Policy", "policy-field-unknown-in-deny", r#"{"statement":[{"sid":"s","effect":"Deny","action":["Function:List"],"resource":["dev:*"],"conditions":{}}]}"#, ("spec.statement[0].conditions", "unknown-field"), true),
    row("Policy", "policy-field-unknown-in-spec", r#"{"statement":[{"sid":"s","effect":"Allow","action":["Function:Get"],"resource":["dev:*"]}],"statements":[]}"#, ("spec.statements", "unknown-field"), true),
    row("Policy", "policy-sid-twice", r#"{"statement":[{"sid":"s","effect":"Allow","action":["Function:Get"],"resource":["dev:*"]},{"sid":"s","effect":"Allow","action":["Function:Get"],"resource":["dev:*"]}]}"#, ("spec.statement[1].sid", "duplicate-sid"), false),
    row("Role", "role-spec-is-a-list", r#"[]"#, ("spec", "wrong-type"), true),
    row("Role", "role-policy-missing", r#"{"principal":{"jwt:sub":["SUBJECT"]}}"#, ("spec.policy", "grants-nothing"), true),
    row("Role", "role-policy-is-a-number", r#"{"policy":7,"principal":{"jwt:sub":["SUBJECT"]}}"#, ("spec.policy[0]", "missing-policy"), true),
    row("Role", "role-policy-is-empty", r#"{"policy":[],"principal":{"jwt:sub":["SUBJECT"]}}"#, ("spec.policy", "empty"), true),
    row("Role", "role-policy-does-not-exist", r#"{"policy":["nowhere"],"principal":{"jwt:sub":["SUBJECT"]}}"#, ("spec.policy[0]", "missing-policy"), true),
    row("Role", "role-nobody", r#"{"policy":["lists"]}"#, ("spec", "matches-nobody"), true),
    row("Role", "role-principal-empty", r#"{"policy":["lists"],"principal":{}}"#, ("spec.principal", "empty"), true),
    row("Role", "role-principal-without-values", r#"{"policy":["lists"],"principal":{"jwt:sub":[]}}"#, ("spec.principal.jwt:sub", "empty"), true),
    row("Role", "role-principal-key-unknown", r#"{"policy":["lists"],"principal":{"sub":["SUBJECT"]}}"#, ("spec.principal.sub", "unknown-key"), true),
    row("Role", "role-condition-empty", r#"{"policy":["lists"],"principal":{"jwt:sub":["SUBJECT"]},"condition":{}}"#, ("spec.condition", "empty"), true),
    row("Role", "role-operator-unknown", r#"{"policy":["lists"],"principal":{"jwt:sub":["SUBJECT"]},"condition":{"StringIs":{"jwt:sub":["a"]}}}"#, ("spec.condition.StringIs", "unknown-operator"), true),
    row("Role", "role-value-is-a-map", r#"{"policy":["lists"],"principal":{"jwt:sub":["SUBJECT"]},"condition":{"StringEqual":{"jwt:org":{"a":"b"}}}}"#, ("spec.condition.StringEqual.jwt:org[0]", "wrong-type"), true),
    row("Role", "role-field-unknown", r#"{"policy":["lists"],"principal":{"jwt:sub":["SUBJECT"]},"conditions":{}}"#, ("spec.conditions", "unknown-field"), true),
    row("JwtIssuer", "issuer-no-spec", r#""#, ("spec", "missing-field"), true),
    row("JwtIssuer", "issuer-no-iss", r#"{"aud":["openfaas"]}"#, ("spec.iss", "missing-field"), true),
    row("JwtIssuer", "issuer-iss-is-a-list", r#"{"iss":["ISS"],"aud":["openfaas"]}"#, ("spec.iss", "wrong-type"), true),
    row("JwtIssuer", "issuer-iss-is-no-url", r#"{"iss":"keycloak","aud":["openfaas"]}"#, ("spec.iss", "invalid-issuer"), true),
    row("JwtIssuer", "issuer-iss-is-plain-http", r#"{"iss":"http://idp.example.com","aud":["openfaas"]}"#, ("spec.iss", "invalid-issuer"), true),
    row("JwtIssuer", "issuer-no-aud", r#"{"iss":"ISS"}"#, ("spec.aud", "missing-field"), true),
    row("JwtIssuer", "issuer-aud-is-empty", r#"{"iss":"ISS","aud":[]}"#, ("spec.aud", "empty"), true),
    row("JwtIssuer", "issuer-expiry-unreadable", r#"{"iss":"ISS","aud":["openfaas"],"tokenExpiry":"soon"}"#, ("spec.tokenExpiry", "invalid-duration"), true),
    row("JwtIssuer", "issuer-expiry-negative", r#"{"iss":"ISS","aud":["openfaas"],"tokenExpiry":"-5m"}"#, ("spec.tokenExpiry", "invalid-duration"), true),
    row("JwtIssuer", "issuer-internal-is-no-url", r#"{"iss":"ISS","aud":["openfaas"],"issInternal":"x"}"#, ("spec.issInternal", "invalid-issuer"), true),
    row("JwtIssuer", "issuer-conflict-one", r#"{"iss":"https://g.example","aud":["openfaas"],"issInternal":"http://one"}"#, ("spec.issInternal", "conflicting-issuer"), true),
    row("JwtIssuer", "issuer-conflict-two", r#"{"iss":"https://g.example","aud":["openfaas"],"issInternal":"http://two"}"#, ("spec.issInternal", "conflicting-issuer"), true),
    row("JwtIssuer", "issuer-field-unknown", r#"{"iss":"ISS","aud":["openfaas"],"audience":"b"}"#, ("spec.audience", "unknown-field"), true),
];
