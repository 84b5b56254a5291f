//! Asking for tokens.

const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";

/// The header of a form.
pub(crate) const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");

/// The parameters of an exchange, encoded.
pub(crate) fn exchange_form(subject_token: &str, more: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new())
        .append_pair("grant_type", GRANT_TYPE)
        .append_pair("subject_token_type", ID_TOKEN)
        .append_pair("subject_token", subject_token)
        .extend_pairs(more)
        .finish()
}
