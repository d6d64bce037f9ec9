//! `thon doctor`: whether this machine is fit for the event.
//!
//! For: the findings as a report or as JSON, and asking before each thing that `--fix` mends.
//! Not for: what is looked at and how it is judged; the library does both.

use std::path::Path;
use std::process::ExitCode;

use serde::Serialize;
use thon::Node;
use thon::core::doctor::{Code, Finding, Remedy, Severity};

use super::Outcome;
use crate::args::DoctorArgs;
use crate::context::Context;
use crate::failure::CommandFailure;
use crate::output::{Tone, count};
use crate::progress::Progress;
use crate::prompt;

/// How often it is looked again for what the last mending made possible: Docker that was installed
/// has to be started, and one that was started lacks an image.
const ROUNDS: usize = 4;

/// What is to be known of each code.
const EXPLANATIONS: &str = include_str!("../../../../docs/doctor.md");

/// Something that was mended, or was to be.
#[derive(Debug, Serialize)]
struct Mended {
    code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    did: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

pub(crate) async fn doctor(args: &DoctorArgs, context: &Context) -> Outcome {
    if let Some(code) = args.explain {
        explain(code, context);
        return Ok(ExitCode::SUCCESS);
    }
    let loaded = context.load()?;
    let mut config = loaded.config;
    context.add_stored(&mut config);
    context.add_settings(&mut config);
    config.add_demo();
    let users = config.groups.user_count();
    let node = Node::with_files(config, context.home()?, &context.files())?;
    let file = loaded.path.as_deref();
    let mut mended = Vec::new();
    let mut findings = node.examine(file).await;
    if args.fix {
        findings = mend(&node, file, findings, &mut mended, context).await?;
    }
    let problems = number(&findings, Severity::Problem);
    if context.output.json() {
        context.output.value(&serde_json::json!({
            "fit": problems == 0,
            "users": users,
            "problems": problems,
            "warnings": number(&findings, Severity::Warning),
            "findings": findings.iter().map(Row::new).collect::<Vec<_>>(),
            "fixes": mended,
        }));
    } else {
        report(&findings, users, args.fix, context);
    }
    let failed = mended.iter().any(|one| one.error.is_some());
    Ok(if problems == 0 && !failed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Prints the code's section of the documentation.
fn explain(code: Code, context: &Context) {
    let (title, heading) = (code.title(), format!("### {code}\n"));
    let section = EXPLANATIONS.split_once(&heading).map_or("", |(_, rest)| rest);
    let text = section.split("\n#").next().unwrap_or_default().trim();
    if context.output.json() {
        let docs = code.docs();
        let all = serde_json::json!({ "code": code, "title": title, "text": text, "docs": docs });
        context.output.value(&all);
    } else {
        context.output.line(&format!("{code}: {title}\n\n{text}"));
    }
}

fn number(findings: &[Finding], severity: Severity) -> usize {
    findings.iter().filter(|finding| finding.severity == severity).count()
}

/// Mends what the person agrees to, and looks again.
async fn mend(
    node: &Node,
    file: Option<&Path>,
    mut findings: Vec<Finding>,
    mended: &mut Vec<Mended>,
    context: &Context,
) -> Result<Vec<Finding>, CommandFailure> {
    let mut known: Vec<Remedy> = Vec::new();
    let mut lock = None;
    for _ in 0..ROUNDS {
        let mut changed = false;
        for finding in &findings {
            let Some(remedy) = &finding.remedy else { continue };
            if known.contains(remedy) {
                continue;
            }
            known.push(remedy.clone());
            context.output.note(&format!("{}: {}", finding.code, finding.says));
            if !prompt::confirm(context, &format!("{}?", remedy.describe()), true)? {
                continue;
            }
            if lock.is_none() {
                lock = Some(node.lock()?);
            }
            let progress = Progress::show(node.events(), &context.output);
            let result = node.mend(remedy).await;
            progress.finish().await;
            let code = finding.code.as_str();
            match result {
                Ok(did) => {
                    context.output.note(&format!("  {did}"));
                    changed = true;
                    mended.push(Mended { code, did: Some(did), error: None });
                }
                Err(error) => {
                    // One thing that can't be mended keeps nothing else from being so.
                    context.output.warn(&format!("{code}: {error}"));
                    mended.push(Mended { code, did: None, error: Some(error.to_string()) });
                }
            }
        }
        if !changed {
            break;
        }
        findings = node.examine(file).await;
    }
    Ok(findings)
}

/// A finding as JSON.
#[derive(Debug, Serialize)]
struct Row<'a> {
    code: &'static str,
    title: &'static str,
    severity: Severity,
    says: &'a str,
    fix: Option<&'a str>,
    fixable: bool,
    docs: String,
}

impl<'a> Row<'a> {
    fn new(finding: &'a Finding) -> Self {
        Self {
            code: finding.code.as_str(),
            title: finding.code.title(),
            severity: finding.severity,
            says: &finding.says,
            fix: finding.fix.as_deref(),
            fixable: finding.remedy.is_some(),
            docs: finding.code.docs(),
        }
    }
}

/// Problems first, then warnings and notes; with `-v` everything that is well too.
fn report(findings: &[Finding], users: usize, fixing: bool, context: &Context) {
    let output = &context.output;
    for finding in findings {
        let (word, tone) = match finding.severity {
            Severity::Problem => ("problem", Tone::Bad),
            Severity::Warning => ("warning", Tone::Wait),
            Severity::Note => ("note", Tone::Plain),
            Severity::Unknown if output.verbose() > 0 => ("unknown", Tone::Wait),
            Severity::Ok if output.verbose() > 0 => ("ok", Tone::Good),
            Severity::Unknown | Severity::Ok => continue,
        };
        let quiet = matches!(finding.severity, Severity::Ok | Severity::Unknown);
        let title = if quiet { format!("{}: ", finding.code.title()) } else { String::new() };
        let word = output.tinted(&format!("{word:<8}"), tone);
        output.line(&format!("{word} {:<15} {title}{}", finding.code, finding.says));
        if let Some(fix) = &finding.fix {
            let by_us = if finding.remedy.is_some() { " (or `thon doctor --fix`)" } else { "" };
            output.line(&format!("         fix: {fix}{by_us}"));
            output.line(&format!("         see: {}", finding.code.docs()));
        }
    }
    output.line(&summary(findings, users, output));
    if let Some(worst) = findings.first().filter(|finding| finding.fix.is_some()) {
        output.note(&format!("`thon doctor --explain {}` says more of a code", worst.code));
    }
    let mendable = findings
        .iter()
        .any(|finding| finding.remedy.is_some() && finding.severity < Severity::Note);
    if mendable && !fixing {
        output.note("`thon doctor --fix` mends what it can, after asking for each");
    }
}

/// One line: fit or not, and how many of each.
fn summary(findings: &[Finding], users: usize, output: &crate::output::Output) -> String {
    let of = |severity| number(findings, severity);
    let (problems, warnings) = (of(Severity::Problem), of(Severity::Warning));
    let (notes, unknown) = (of(Severity::Note), of(Severity::Unknown));
    let seats = count(users, "seat", "seats");
    let (verdict, tone) = match (problems, warnings) {
        (0, _) if users == 0 => {
            let nobody =
                "nobody is in the roster, and what is needed follows from how many they are";
            (nobody.to_owned(), Tone::Wait)
        }
        (0, 0) => (format!("fit for {seats}"), Tone::Good),
        (0, _) => (format!("fit for {seats}, with care"), Tone::Wait),
        _ => (format!("not fit for {seats}"), Tone::Bad),
    };
    let mut parts = vec![format!("{} well", of(Severity::Ok))];
    for (number, one, many) in [
        (problems, "problem", "problems"),
        (warnings, "warning", "warnings"),
        (notes, "note", "notes"),
        (
            unknown,
            "check could not be made (-v says why)",
            "checks could not be made (-v says why)",
        ),
    ] {
        if number > 0 {
            parts.push(count(number, one, many));
        }
    }
    format!("{}: {}", output.tinted(&verdict, tone), parts.join(", "))
}
