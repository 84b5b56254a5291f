//! One file of tests: its objects put in force, and its cases asked.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::{Context as _, Result, anyhow, ensure};
use serde_json::{Map, Value};

use super::coverage::{Coverage, Places};
use super::format::{
    Answer, Case, Decision, DecisionTest, Expected, ExpectedDiagnostic, Question, Request, Settings,
};
use crate::compile::{Bundle, Diagnostic, Federation, IssuerKeys, Severity, Snapshot, compile_with};
use crate::crd::Defaults;
use crate::decide::authorize::{self, Identity, Inquiry, Verdict, authorize};
use crate::decide::{self, StatementRef, decide_all};
use crate::identity::verify::described;
use crate::identity::{InFull, Principal};
use crate::policy::Context;
use crate::route::HttpRequest;
use crate::source::files;
use crate::token::signer::SigningKeys;
use crate::transport::http_status;

/// When requests are made that do not say when: 2026-01-15T12:00:00Z.
const TIME: i64 = 1_768_478_400;

/// What the tests share: objects that several files name are read and put in force once.
pub(super) struct Shared {
    federation: Federation,
    pub(super) coverage: Coverage,
    sources: BTreeMap<SourceKey, Rc<Source>>,
}

/// The canonical paths of the objects, the namespace of functions that name none, and the issuer.
type SourceKey = (Vec<PathBuf>, String, String);

/// Objects that tests name by `objectsFrom`.
struct Source {
    in_force: Rc<InForce>,
    /// The files that they stand in.
    files: BTreeSet<PathBuf>,
}

/// Objects as decisions read them.
struct InForce {
    bundle: Bundle,
    places: Places,
    snapshot: Snapshot,
    diagnostics: Vec<Diagnostic>,
}

/// A file of tests, and what came of it.
pub(super) struct Suite {
    pub(super) name: String,
    pub(super) settings: Settings,
    /// Problems of the objects that the tests do not expect.
    pub(super) unexpected: Vec<Diagnostic>,
    /// Problems that they expect and that there are not.
    pub(super) missing: Vec<ExpectedDiagnostic>,
    pub(super) cases: Vec<Outcome>,
}

/// A case, and what came of it.
pub(super) struct Outcome {
    pub(super) name: String,
    pub(super) claims: Option<Map<String, Value>>,
    pub(super) request: Request,
    pub(super) expected: Expected,
    pub(super) answer: Answer,
    /// What the client is told, where it is refused.
    pub(super) message: String,
    /// Where the statements stand that decided: `ROLE/POLICY/SID` and a file with its line.
    pub(super) decided: Vec<(String, Vec<String>)>,
}

/// Where cases are asked.
struct World<'a> {
    identities: &'a BTreeMap<String, Map<String, Value>>,
    settings: authorize::Settings,
    in_force: &'a InForce,
}

// === impl Shared ===

impl Shared {
    pub(super) fn new(federation: Federation) -> Self {
        Self { federation, coverage: Coverage::default(), sources: BTreeMap::new() }
    }

    /// The objects that `test` names, without those in its own file.
    fn source(&mut self, test: &DecisionTest, folder: &Path) -> Result<Rc<Source>> {
        let mut places = Vec::with_capacity(test.objects_from.len());
        for (i, from) in test.objects_from.iter().enumerate() {
            let place = folder.join(from);
            places.push(place.canonicalize().map_err(|error| unreadable(i, &place, &error))?);
        }
        let Settings { default_namespace, issuer, .. } = &test.settings;
        let key = (places, default_namespace.clone(), issuer.clone());
        if let Some(source) = self.sources.get(&key) {
            return Ok(Rc::clone(source));
        }
        let (mut bundle, mut found) = (Bundle::default(), BTreeSet::new());
        for (i, place) in key.0.iter().enumerate() {
            let place = from_here(place);
            let read = files::find(&place).and_then(|(files, _)| {
                found.extend(files.iter().filter_map(|file| file.canonicalize().ok()));
                files::load(&place, &defaults(test))
            });
            let read = read.map_err(|error| unreadable(i, &place, &error))?;
            ensure!(
                read != Bundle::default(),
                "objectsFrom[{i}]: {} holds no objects: name where they are",
                place.display()
            );
            bundle.append(read);
        }
        let in_force = self.put_in_force(bundle, issuer)?;
        let source = Rc::new(Source { in_force, files: found });
        self.sources.insert(key, Rc::clone(&source));
        Ok(source)
    }

    /// The objects that `test` is about: those that it names, and those in its own file.
    fn objects(&mut self, test: &DecisionTest, path: &Path, name: &str, text: &str) -> Result<Rc<InForce>> {
        let (own, folder) = (path.canonicalize()?, path.parent().unwrap_or(Path::new("")));
        let source = self.source(test, folder)?;
        let mut inline = Bundle::default();
        if !source.files.contains(&own) {
            files::read_documents(text, name, &defaults(test), &mut inline);
        }
        let in_force = if inline == Bundle::default() {
            Rc::clone(&source.in_force)
        } else {
            let mut bundle = source.in_force.bundle.clone();
            bundle.append(inline);
            self.put_in_force(bundle, &test.settings.issuer)?
        };
        let Bundle { issuers, policies, roles, .. } = &in_force.bundle;
        ensure!(
            issuers.len() + policies.len() + roles.len() > 0,
            "there are no objects to test: write them in the file, or name them in `objectsFrom`"
        );
        Ok(in_force)
    }

    fn put_in_force(&mut self, bundle: Bundle, issuer: &str) -> Result<Rc<InForce>> {
        let own = SigningKeys::ephemeral()?.issuer(issuer);
        let (snapshot, diagnostics) = compile_with(&bundle, &IssuerKeys::new(), &own, self.federation);
        self.coverage.add(&bundle);
        Ok(Rc::new(InForce { places: Places::new(&bundle), bundle, snapshot, diagnostics }))
    }
}

fn defaults(test: &DecisionTest) -> Defaults {
    Defaults { function_namespace: test.settings.default_namespace.clone(), ..Defaults::default() }
}

fn unreadable(index: usize, place: &Path, error: &io::Error) -> anyhow::Error {
    let cure = "write a path from the test file's own directory";
    anyhow!("objectsFrom[{index}]: {} cannot be read: {error}: {cure}", place.display())
}

/// The shortest way to write a canonical path, without `..` in the middle.
fn from_here(path: &Path) -> PathBuf {
    let here = std::env::current_dir().and_then(|here| here.canonicalize());
    match here.ok().and_then(|here| path.strip_prefix(here).ok()) {
        Some(rest) if rest.as_os_str().is_empty() => PathBuf::from("."),
        Some(rest) => rest.to_owned(),
        None => path.to_owned(),
    }
}

// === impl Suite ===

impl Suite {
    /// Runs the tests in a text; none where it holds none.
    pub(super) fn run(path: &Path, text: &str, shared: &mut Shared) -> Result<Option<Self>> {
        let name = path.display().to_string();
        let Some(test) = DecisionTest::find(text, &name)? else { return Ok(None) };
        let in_force = shared.objects(&test, path, &name, text).with_context(|| name.clone())?;
        let settings = test.settings.of_service().with_context(|| name.clone())?;
        let (unexpected, missing) = compare(&in_force.diagnostics, &test);
        let world = World { identities: &test.identities, settings, in_force: &in_force };
        let mut cases = Vec::with_capacity(test.cases.len());
        for case in &test.cases {
            let at = || format!("{name}: case `{}`", case.name);
            cases.push(world.ask(case, &mut shared.coverage).with_context(at)?);
        }
        Ok(Some(Self { name, settings: test.settings, unexpected, missing, cases }))
    }

    pub(super) fn failed_cases(&self) -> usize {
        self.cases.iter().filter(|case| !case.holds()).count()
    }

    pub(super) fn holds(&self) -> bool {
        self.failed_cases() == 0 && self.unexpected.is_empty() && self.missing.is_empty()
    }

    /// Whether objects cannot be read that the tests do not expect to be so.
    pub(super) fn has_invalid_objects(&self) -> bool {
        self.unexpected.iter().any(|diagnostic| diagnostic.severity == Severity::Error)
    }
}

/// What is said of the objects and was not expected, and the other way round. Where the tests say
/// nothing of it, warnings about objects that stand elsewhere are for `validate`.
fn compare(found: &[Diagnostic], test: &DecisionTest) -> (Vec<Diagnostic>, Vec<ExpectedDiagnostic>) {
    let warnings_count = test.expect_diagnostics.is_some() || test.objects_from.is_empty();
    let mut missing = test.expect_diagnostics.clone().unwrap_or_default();
    let unexpected = found.iter().filter(|diagnostic| {
        let expected = missing.iter().position(|expected| *expected == ExpectedDiagnostic::from(*diagnostic));
        if let Some(at) = expected {
            missing.swap_remove(at);
        }
        expected.is_none() && (warnings_count || diagnostic.severity == Severity::Error)
    });
    (unexpected.cloned().collect(), missing)
}

// === impl World ===

impl World<'_> {
    fn ask(&self, case: &Case, coverage: &mut Coverage) -> Result<Outcome> {
        let claims = case.claims(self.identities)?;
        let principal = claims.clone().map(described).transpose().context("identity")?;
        let question = case.request.question()?;
        case.expect.check()?;
        let now = case.request.time()?.unwrap_or(TIME);
        let context = Context { source_ip: case.request.source_ip, now, ..Context::default() };
        let (answer, message, statements) = self.answer(&question, principal.as_ref(), context)?;
        let places = |statement: &StatementRef| {
            let places = coverage.decided(&self.in_force.places, statement);
            (statement.to_string(), places)
        };
        Ok(Outcome {
            name: case.name.clone(),
            claims,
            request: case.request.clone(),
            expected: case.expect.clone(),
            answer,
            message,
            decided: statements.iter().map(places).collect(),
        })
    }

    fn answer(
        &self,
        question: &Question,
        principal: Option<&Principal>,
        mut context: Context,
    ) -> Result<(Answer, String, Vec<StatementRef>)> {
        match question {
            Question::Http { method, path, body } => {
                context.method = Some(method.clone());
                let http = HttpRequest {
                    method,
                    target: path,
                    content_length: None,
                    partial_body: false,
                    callback_url: None,
                    body,
                };
                let identity = principal.map_or(Identity::Header(None), Identity::Known);
                let inquiry = Inquiry { http, identity, verifier: &InFull, context, admin: None };
                Ok(of_verdict(&authorize(&self.in_force.snapshot, &self.settings, &inquiry)))
            }
            Question::Action(action, resource) => {
                let principal = principal.context("an action on a resource needs `identity`")?;
                let resources = std::slice::from_ref(resource);
                let (decision, _) =
                    decide_all(&self.in_force.snapshot, principal, *action, resources, &context);
                Ok(of_decision(&decision))
            }
        }
    }
}

fn of_verdict(verdict: &Verdict) -> (Answer, String, Vec<StatementRef>) {
    let (decision, status, message) = match &verdict.answer {
        authorize::Answer::Allow(..) => (Decision::Allow, None, String::new()),
        authorize::Answer::Refuse(refused) => {
            (Decision::Deny, Some(http_status(refused.reason)), refused.message.clone())
        }
    };
    let statements = verdict.statements();
    let reason = verdict.reason().code();
    (Answer { decision, reason, status, statements: texts(statements) }, message, statements.to_vec())
}

fn of_decision(decision: &decide::Decision) -> (Answer, String, Vec<StatementRef>) {
    let answer = Answer {
        decision: match decision {
            decide::Decision::Allow(_) => Decision::Allow,
            decide::Decision::Filter(_) => Decision::Filter,
            decide::Decision::Deny(_) => Decision::Deny,
        },
        reason: decision.reason().code(),
        status: None,
        statements: texts(decision.statements()),
    };
    let is_denied = matches!(decision, decide::Decision::Deny(_));
    let message = decision.reason().cure().filter(|_| is_denied).unwrap_or_default();
    (answer, message.to_owned(), decision.statements().to_vec())
}

fn texts(statements: &[StatementRef]) -> Vec<String> {
    statements.iter().map(ToString::to_string).collect()
}

// === impl Outcome ===

impl Outcome {
    pub(super) fn holds(&self) -> bool {
        self.expected.holds(&self.answer)
    }

    /// Why it failed, one line each.
    pub(super) fn explain(&self) -> Vec<String> {
        let mut lines = vec![format!("expected   {}", self.expected), format!("answered   {}", self.answer)];
        if !self.message.is_empty() {
            lines.push(format!("message    {}", self.message));
        }
        for (statement, places) in &self.decided {
            let at = if places.is_empty() { String::new() } else { format!(", at {}", places.join(" and ")) };
            lines.push(format!("statement  {statement} decides (ROLE/POLICY/SID){at}"));
        }
        lines
    }
}
