//! `faas-cli`, with a token for the API in its own configuration file.

use anyhow::{Result, ensure};

use crate::dex::Tokens;
use crate::stage::{GATEWAY_PASSWORD, Stage, write_private};
use crate::support::report::Report;
use crate::toolchain::{Built, FAAS_CLI_VERSION};

/// The name in the report.
pub(crate) const PART: &str = "faas-cli";

/// What it says to a 401, whatever the body.
const LOG_IN: &str = "run \"faas-cli login\" to setup authentication for this server";

/// A command, whether it ends with success, and what it prints.
type Case = (&'static str, bool, &'static [&'static str]);

/// Where the token allows it. In order: each finds what those before it left.
const ALLOWED: &[Case] = &[
    ("version --warn-update=false", true, &["in-memory"]),
    ("namespaces", true, &["- dev", "- prod"]),
    ("deploy -n dev --name greet --image functions/alpine:latest", true, &["Deployed. 202 Accepted."]),
    ("deploy -n dev --name greet --image functions/alpine:3", true, &["Deployed. 202 Accepted."]),
    ("list -n dev", true, &["greet", "hello"]),
    ("describe greet -n dev", true, &["Name:", "greet"]),
    ("logs greet -n dev --tail=false", true, &["line 0", "line 2"]),
    ("secret create api-key -n dev --from-literal=not-so-secret", true, &["Created: 201 Created"]),
    ("secret list -n dev", true, &["api-key"]),
    ("secret update api-key -n dev --from-literal=even-less", true, &["Updated: 202 Accepted"]),
    ("secret remove api-key -n dev", true, &[]),
    ("secret remove api-key -n dev", false, &["Unable to find secret: api-key"]),
    ("invoke hello -n dev -H {function-token}", true, &["\"function\":\"hello\"", "\"namespace\":\"dev\""]),
    ("invoke hello -n dev --async -H {function-token}", true, &["submitted asynchronously"]),
    ("remove greet -n dev", true, &["Removing old function."]),
    ("describe greet -n dev", false, &["No such function: greet"]),
];

/// Where it does not: the command shows our reason.
const FORBIDDEN: &[Case] = &[
    ("list -n openfaas-fn", false, &["unexpected status code: 403", "Function:List"]),
    (
        "deploy -n prod --name greet --image a",
        false,
        &["Unexpected status: 403", "Function:Update", "prod:greet"],
    ),
    ("logs checkout -n prod --tail=false", false, &["unexpected status code: 403", "Function:Logs"]),
    ("secret list -n prod", false, &["unexpected status code: 403", "Secret:List"]),
    // The command prints the refusal and ends with success all the same.
    (
        "secret create api-key -n prod --from-literal=a",
        true,
        &["unexpected status code: 403", "Secret:Create", "prod:api-key"],
    ),
    ("secret remove api-key -n prod", false, &["unexpected status code: 403", "Secret:Delete"]),
    (
        "invoke checkout -n prod -H {function-token}",
        false,
        &["unexpected status code: 403", "the token was not made for prod:checkout"],
    ),
];

/// A namespace in the query alone, which faas-netes reads and faasd does not: for that one, these are
/// the default namespace's functions. Both are asked for where either may be there.
fn in_query(provider: &str) -> &'static [Case] {
    match provider {
        "faas-netes" => &[
            ("remove checkout -n prod", false, &["status code 403", "Function:Delete", "prod:checkout"]),
            ("remove hello -n dev", true, &["Removing old function."]),
        ],
        "faasd" => &[
            (
                "remove checkout -n prod",
                false,
                &["status code 403", "Function:Delete", "openfaas-fn:checkout"],
            ),
            ("remove hello -n dev", false, &["status code 403", "Function:Delete", "openfaas-fn:hello"]),
        ],
        _ => &[
            ("remove checkout -n prod", false, &["status code 403", "Function:Delete", "prod:checkout"]),
            ("remove hello -n dev", false, &["status code 403", "Function:Delete", "openfaas-fn:hello"]),
        ],
    }
}

/// Without an entry in the file: it then sends a bearer token that is empty.
const UNAUTHENTICATED: &[Case] = &[
    ("list -n dev", false, &[LOG_IN]),
    ("list -n dev --token eyJhbGciOiJub25lIn0.e30.", false, &[LOG_IN]),
    ("namespaces", false, &[LOG_IN]),
    ("describe hello -n dev", false, &[LOG_IN]),
    ("remove hello -n dev", false, &[LOG_IN]),
    ("secret list -n dev", false, &[LOG_IN]),
    ("deploy -n dev --name greet --image a", false, &[LOG_IN]),
    ("invoke hello -n dev", false, &[LOG_IN]),
    // The gateway's own credentials are no way in, unless --admin-basic-auth says so.
    (
        "login --username admin --password GATEWAY_PASSWORD",
        false,
        &["Unable to login, either username or password is incorrect"],
    ),
];

/// Runs the part.
pub(crate) async fn run(report: &mut Report, stage: &Stage, built: &Built, tokens: &Tokens, provider: &str) {
    report.part(&format!("{PART} {FAAS_CLI_VERSION}"));
    let function_token = match stage.function_token(&tokens.api, &["dev:hello"]).await {
        Ok(token) => token,
        Err(why) => return report.fail("there is a function token", &why),
    };
    let entry = format!("auths:\n- gateway: {}\n  auth: oauth2\n  token: {}\n", stage.envoy.url, tokens.api);
    let written = write_private(&stage.file("cli/config.yml"), &entry)
        .and_then(|()| write_private(&stage.file("cli-without/config.yml"), "auths: []\n"));
    if let Err(why) = written {
        return report.fail("its configuration is written", &why);
    }
    let all =
        [("cli", ALLOWED), ("cli", FORBIDDEN), ("cli-without", UNAUTHENTICATED), ("cli", in_query(provider))];
    for (config, cases) in all {
        for case in cases {
            let result = check(stage, built, config, case, &function_token).await;
            report.count(
                &format!("faas-cli {}{}", case.0, if config == "cli" { "" } else { " (not signed in)" }),
                result,
            );
        }
    }
}

async fn check(stage: &Stage, built: &Built, config: &str, case: &Case, function_token: &str) -> Result<()> {
    let (command, success, texts) = case;
    let folder = stage.file(config).display().to_string();
    let env = [("OPENFAAS_CONFIG", folder.as_str()), ("HOME", &folder), ("OPENFAAS_URL", &stage.envoy.url)];
    let header = format!("Authorization=Bearer {function_token}");
    // What is printed of a check is its command as it stands above.
    let command = command.replace("GATEWAY_PASSWORD", GATEWAY_PASSWORD);
    let args: Vec<&str> =
        command.split(' ').map(|arg| if arg == "{function-token}" { header.as_str() } else { arg }).collect();
    let ended = built.run("faas-cli", &args, &env).await?;
    let printed = format!("{}{}", ended.stdout, ended.stderr);
    ensure!(ended.success == *success, "it ended with {}: {}", ended.success, printed.trim());
    for text in *texts {
        ensure!(printed.contains(text), "it did not print {text:?}: {}", printed.trim());
    }
    Ok(())
}
