//! Policy objects as text, and the keys of the service under test.

use std::fs;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::{Result, anyhow};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

/// A key of the service, whose private half the tests have too.
pub(crate) struct SigningKey {
    pair: EcdsaKeyPair,
    /// The file's text.
    pub(crate) pem: String,
}

/// A JwtIssuer.
pub(crate) fn issuer(iss: &str, aud: &str) -> String {
    format!(
        "---\napiVersion: iam.openfaas.com/v1\nkind: JwtIssuer\nmetadata: {{name: provider}}\n\
         spec: {{iss: '{iss}', aud: ['{aud}'], tokenExpiry: 30m}}\n"
    )
}

/// A Policy of one statement that allows.
pub(crate) fn policy(name: &str, action: &str, resource: &str) -> String {
    format!(
        "---\napiVersion: iam.openfaas.com/v1\nkind: Policy\nmetadata: {{name: {name}}}\n\
         spec: {{statement: [{{sid: s, effect: Allow, action: ['{action}'], resource: ['{resource}']}}]}}\n"
    )
}

/// A Role that gives one subject one Policy.
pub(crate) fn role(name: &str, subject: &str, policy: &str) -> String {
    format!(
        "---\napiVersion: iam.openfaas.com/v1\nkind: Role\nmetadata: {{name: {name}}}\n\
         spec: {{policy: [{policy}], principal: {{'jwt:sub': ['{subject}']}}}}\n"
    )
}

/// Policy and Role of a subject, both named like it.
pub(crate) fn grant(subject: &str, action: &str, resource: &str) -> String {
    policy(subject, action, resource) + &role(subject, subject, subject)
}

/// Writes a file whole: nobody sees it half written.
pub(crate) fn write_whole(path: &Path, text: &str) -> Result<()> {
    let unfinished = path.with_extension("unfinished");
    fs::write(&unfinished, text)?;
    Ok(fs::rename(&unfinished, path)?)
}

/// Writes a file that nobody else can read, and its folder.
pub(crate) fn write_private(path: &Path, text: &str) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut options = fs::File::options();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path)?;
    Ok(std::io::Write::write_all(&mut file, text.as_bytes())?)
}

// === impl SigningKey ===

impl SigningKey {
    /// A new one.
    pub(crate) fn generate() -> Result<Self> {
        let failed = |_| anyhow!("cannot make a key");
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(failed)?;
        let der = pair.to_pkcs8v1().map_err(failed)?;
        let text = STANDARD.encode(der.as_ref());
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n");
        Ok(Self { pair, pem })
    }

    /// A token with exactly these claims.
    pub(crate) fn sign(&self, kid: &str, claims: &Value) -> Result<String> {
        let header = json!({ "alg": "ES256", "typ": "JWT", "kid": kid });
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", encode(&header), encode(claims));
        let signature = self.pair.sign(&SystemRandom::new(), signed.as_bytes());
        let signature = signature.map_err(|_| anyhow!("cannot sign"))?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}
