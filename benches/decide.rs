//! What one decision costs, by the number of unrelated Roles and Policies: `cargo bench`.
//!
//! Compare the columns of one run with each other; absolute times are those of the machine.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a benchmark without its world must end")]

use std::fmt::Write as _;

use divan::{Bencher, black_box};
use faas_iam::compile::{Bundle, IssuerKeys, Snapshot, compile};
use faas_iam::crd::Defaults;
use faas_iam::decide::authorize::{Identity, Inquiry, Settings, authorize};
use faas_iam::decide::{Request, decide};
use faas_iam::identity::InFull;
use faas_iam::identity::verify::described;
use faas_iam::identity::{KeySet, OwnIssuer, Principal};
use faas_iam::policy::{Action, Context, Resource};
use faas_iam::route::{HttpRequest, Rules, resolve};
use faas_iam::source::files::read_documents;

fn main() {
    divan::main();
}

const COUNTS: &[usize] = &[10, 1_000, 10_000];

fn objects(count: usize) -> String {
    let mut text = String::from(
        "apiVersion: iam.openfaas.com/v1\nkind: JwtIssuer\nmetadata: {name: idp}\n\
         spec: {iss: https://idp.example.com, aud: [openfaas]}\n",
    );
    for i in 0..count {
        write!(
            text,
            "---\napiVersion: iam.openfaas.com/v1\nkind: Policy\nmetadata: {{name: p{i}}}\n\
             spec:\n  statement:\n  - {{sid: a, effect: Allow, action: [\"Function:*\"], resource: [\"ns{i}:*\"]}}\n\
             ---\napiVersion: iam.openfaas.com/v1\nkind: Role\nmetadata: {{name: r{i}}}\n\
             spec:\n  policy: [p{i}]\n  principal: {{\"jwt:sub\": [user{i}]}}\n"
        )
        .expect("writing to a text");
    }
    text
}

fn bundle(count: usize) -> Bundle {
    let mut bundle = Bundle::default();
    read_documents(&objects(count), "bench", &Defaults::default(), &mut bundle);
    bundle
}

fn world(count: usize) -> (Snapshot, Principal) {
    let own = OwnIssuer::new("https://gateway.example.com", KeySet::default().into());
    let (snapshot, diagnostics) = compile(&bundle(count), &IssuerKeys::new(), &own);
    assert!(diagnostics.is_empty());
    let claims = serde_json::json!({"iss": "https://idp.example.com", "sub": "user7", "aud": "openfaas"});
    let principal = described(claims.as_object().cloned().unwrap()).unwrap();
    (snapshot, principal)
}

const DEPLOY: &[u8] =
    br#"{"service":"checkout","image":"example.com/checkout:1","namespace":"ns7","labels":{}}"#;

fn deploy() -> HttpRequest<'static> {
    HttpRequest {
        method: "POST",
        target: "/system/functions",
        content_length: None,
        partial_body: false,
        callback_url: None,
        body: DEPLOY,
    }
}

#[divan::bench(args = COUNTS)]
fn decide_one(bencher: Bencher<'_, '_>, count: usize) {
    let (snapshot, principal) = world(count);
    let (resource, context) = (Resource::object("ns7", "checkout"), Context::default());
    let action = Action::FunctionCreate;
    let request = Request { principal: &principal, action, resource: &resource, context: &context };
    bencher.bench_local(|| decide(black_box(&snapshot), black_box(&request)));
}

#[divan::bench(args = COUNTS)]
fn authorize_a_deploy(bencher: Bencher<'_, '_>, count: usize) {
    let (snapshot, principal) = world(count);
    let settings = Settings::default();
    bencher.bench_local(|| {
        let identity = Identity::Known(&principal);
        let context = Context::default();
        let inquiry = Inquiry { http: deploy(), identity, verifier: &InFull, context, admin: None };
        authorize(black_box(&snapshot), &settings, &inquiry)
    });
}

#[divan::bench]
fn read_a_deploy(bencher: Bencher<'_, '_>) {
    let rules = Rules::default();
    bencher.bench_local(|| resolve(black_box(&deploy()), &rules));
}

#[divan::bench(args = COUNTS, sample_count = 10)]
fn compile_all(bencher: Bencher<'_, '_>, count: usize) {
    let bundle = bundle(count);
    let own = OwnIssuer::new("https://gateway.example.com", KeySet::default().into());
    bencher.bench_local(|| compile(black_box(&bundle), &IssuerKeys::new(), &own));
}
