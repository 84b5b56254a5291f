//! What came of all tests, as the JUnit XML that CI systems show.

use anyhow::Result;
use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesText, Event};

use super::report::{Report, problems};
use super::suite::Suite;

/// What is told of one test.
struct TestCase {
    name: String,
    /// The kind of element and its text, where the test does not hold.
    trouble: Option<(&'static str, String, String)>,
}

/// The whole document. What cannot be read is an error of a suite of its own.
pub(super) fn write(report: &Report) -> Result<String> {
    let mut writer = Writer::new_with_indent(Vec::new(), b' ', 2);
    writer.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    let suites: Vec<(String, Vec<TestCase>)> = report
        .suites
        .iter()
        .map(|suite| (suite.name.clone(), of_suite(suite)))
        .chain(report.unreadable.iter().map(|unreadable| {
            let (name, message) = ("can be read".to_owned(), unreadable.message.clone());
            let trouble = Some(("error", message.clone(), message));
            (unreadable.path.clone(), vec![TestCase { name, trouble }])
        }))
        .collect();
    writer.create_element("testsuites").with_attribute(("name", "faas-iam test")).write_inner_content(
        |writer| suites.iter().try_for_each(|(name, cases)| write_suite(writer, name, cases)),
    )?;
    let mut text = String::from_utf8(writer.into_inner())?;
    text.push('\n');
    Ok(text)
}

fn of_suite(suite: &Suite) -> Vec<TestCase> {
    let mut cases: Vec<_> = suite
        .cases
        .iter()
        .map(|case| TestCase {
            name: case.name.clone(),
            trouble: (!case.holds()).then(|| {
                let message = format!("expected {}, answered {}", case.expected, case.answer);
                ("failure", message, case.explain().join("\n"))
            }),
        })
        .collect();
    let problems = problems(suite);
    cases.push(TestCase {
        name: "the objects have the expected problems".to_owned(),
        trouble: (!problems.is_empty()).then(|| {
            let kind = if suite.has_invalid_objects() { "error" } else { "failure" };
            (kind, "the objects have other problems than expected".to_owned(), problems.join("\n"))
        }),
    });
    cases
}

fn write_suite(writer: &mut Writer<Vec<u8>>, name: &str, cases: &[TestCase]) -> std::io::Result<()> {
    let count = |kind: &str| {
        let of_kind = |case: &&TestCase| case.trouble.as_ref().is_some_and(|(found, ..)| *found == kind);
        cases.iter().filter(of_kind).count().to_string()
    };
    let (name, tests) = (readable(name), cases.len().to_string());
    let (failures, errors) = (count("failure"), count("error"));
    let suite = writer.create_element("testsuite").with_attributes([
        ("name", name.as_str()),
        ("tests", &tests),
        ("failures", &failures),
        ("errors", &errors),
    ]);
    suite.write_inner_content(|writer| cases.iter().try_for_each(|case| write_case(writer, &name, case)))?;
    Ok(())
}

fn write_case(writer: &mut Writer<Vec<u8>>, suite: &str, case: &TestCase) -> std::io::Result<()> {
    let name = readable(&case.name);
    let element =
        writer.create_element("testcase").with_attributes([("classname", suite), ("name", name.as_str())]);
    let Some((kind, message, text)) = &case.trouble else {
        element.write_empty()?;
        return Ok(());
    };
    element.write_inner_content(|writer| {
        let trouble = writer.create_element(*kind).with_attribute(("message", readable(message).as_str()));
        trouble.write_text_content(BytesText::new(&readable(text)))?;
        Ok(())
    })?;
    Ok(())
}

/// The text without the characters that XML 1.0 has no way to write (section 2.2).
fn readable(text: &str) -> String {
    let is_writable =
        |c: char| matches!(c, '\t' | '\n') || !c.is_control() && !matches!(c, '\u{fffe}' | '\u{ffff}');
    text.chars().map(|c| if is_writable(c) { c } else { '\u{fffd}' }).collect()
}
