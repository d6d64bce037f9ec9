//! The API against a fuzzer that knows its description: schemathesis.
//!
//! For: whatever nobody thought of: no fault of the server, no answer that isn't described.
//! Not for: what answers mean.

use std::path::Path;
use std::process::Command;

use crate::api::{serve, served_desk};
use crate::stage::Stage;
use crate::support::{Output, Served};

/// How many requests are made up for each operation, at the most.
const EXAMPLES: &str = "25";

/// A program of the environment that `cargo xtask test` makes.
fn program(name: &str) -> Command {
    let tools = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("xtask/python/bin");
    let program = tools.join(name);
    assert!(program.is_file(), "no {}; `cargo xtask test` installs it", program.display());
    Command::new(program)
}

/// Fuzzes with all checks but those named, as somebody with a token that may do everything: without any token nobody is asked for one.
fn fuzz(served: &mut Served, folder: &Path, token: &str, but_for: &[&str]) -> Output {
    served.token = Some(token.trim().to_owned());
    let url = served.url();
    let mut command = program("schemathesis");
    command.current_dir(folder).env("NO_COLOR", "1");
    // The same requests each time: what fails here fails everywhere.
    command.args([
        "run",
        &format!("{url}/openapi.json"),
        "--seed",
        "1",
        "--max-examples",
        EXAMPLES,
    ]);
    command.args(["--generation-database", "none", "--request-timeout", "60", "--no-color"]);
    command.args(["--header", &format!("Authorization: Bearer {}", token.trim())]);
    // What a name, an amount or an `ETag` may be is more than a schema says, and what became of a
    // sandbox can be read when it is gone.
    let none = ["positive_data_acceptance", "use_after_free"];
    command.args(["--exclude-checks", &[&none, but_for].concat().join(",")]);
    // A stream of events has no end to wait for.
    command.args(["--exclude-path", "/api/events"]);
    let output: Output = command.output().unwrap().into();
    served.get("/health").expect(200);
    output
}

fn passed(output: &Output) {
    assert_eq!(output.code, 0, "{}\n{}", output.stdout, output.stderr);
    assert!(output.stdout.contains("passed"), "{}", output.stdout);
}

#[test]
fn the_description_of_the_api_is_valid() {
    let (desk, _ports, served) = served_desk();
    let file = desk.work().join("openapi.json");
    std::fs::write(&file, served.get("/openapi.json").expect(200).body).unwrap();
    let said: Output = program("openapi-spec-validator").arg(file).output().unwrap().into();
    assert_eq!(said.code, 0, "{said:?}");
}

#[test]
fn without_docker_every_answer_is_one_of_those_described() {
    let (desk, _ports, mut served) = served_desk();
    let token = desk.thon(&["token", "add", "fuzzer", "--scope", "admin"]).ok().stdout;
    // What needs Docker answers 503, which is described and no fault.
    passed(&fuzz(&mut served, &desk.work(), &token, &["not_a_server_error"]));
}

#[test]
fn with_docker_every_answer_is_one_of_those_described_and_none_a_fault() {
    let stage = Stage::new("alpha: [ada]");
    let mut served = serve(&stage);
    let token = stage.thon(&["token", "add", "fuzzer", "--scope", "admin"]).ok().stdout;
    passed(&fuzz(&mut served, stage.folder(), &token, &[]));
}
