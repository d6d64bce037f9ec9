//! Rosters that were made to hurt, or made in a hurry.
//!
//! For: each is refused in one line that names the file, the place, the value and what is allowed,
//! and nothing is done.
//! Not for: all the rules; the core's own tests have them.

use crate::desk::{Desk, error_line, has};

/// A roster as it would stand in thon.yaml and in groups.yaml, the place of the refusal after the
/// file's name, and what the line says besides.
struct Case {
    text: String,
    place: &'static str,
    parts: Vec<String>,
}

fn case(text: impl Into<String>, place: &'static str, parts: &[&str]) -> Case {
    let parts = parts.iter().map(|part| (*part).to_owned()).collect();
    Case { text: text.into(), place, parts }
}

/// Names that are none, each as YAML, as the line quotes it, and what is suggested.
const NAMES: &[(&str, &str, &str)] = &[
    ("../etc", "\"../etc\"", "try `etc`"),
    ("/etc/passwd", "\"/etc/passwd\"", "try `etc-passwd`"),
    ("..", "\"..\"", ""),
    ("$(reboot)", "\"$(reboot)\"", "try `reboot`"),
    ("'`id`'", "\"`id`\"", "try `id`"),
    ("a;id", "\"a;id\"", "try `a-id`"),
    ("'a|id&'", "\"a|id&\"", "try `a-id`"),
    ("'{{7*7}}'", "\"{{7*7}}\"", "try `7-7`"),
    ("\"o'brien\"", "\"o\\'brien\"", "try `o-brien`"),
    ("'say \"hi\"'", "\"say \\\"hi\\\"\"", "try `say-hi`"),
    ("\"a\\nb\"", "\"a\\nb\"", "try `a-b`"),
    ("\"a\\u0000b\"", "\"a\\0b\"", "try `a-b`"),
    ("\"a\\e[31mb\"", "\"a\\u{1b}[31mb\"", ""),
    ("\"a\\u202eb\"", "\"a\\u{202e}b\"", ""),
    ("🦀", "\"🦀\"", ""),
    ("аda", "\"аda\"", ""),
    ("Ada", "\"Ada\"", "try `ada`"),
    ("Ada Lovelace", "\"Ada Lovelace\"", "try `ada-lovelace`"),
    ("-rf", "\"-rf\"", "try `rf`"),
    ("a_b", "\"a_b\"", "try `a-b`"),
    ("''", "\"\"", ""),
];

const ALLOWED: &str = "allowed are lower-case letters a-z, digits and inner hyphens, 1 to 32 characters";

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (yaml, quoted, suggestion) in NAMES {
        let user = format!("groups:\n  alpha:\n  - ada\n  - {yaml}\n");
        cases.push(case(user, ":4:5: groups.alpha[1]: user name ", &[quoted, ALLOWED, suggestion]));
        let group = format!("groups:\n  alpha: [ada]\n  {yaml}: [bob]\n");
        cases.push(case(group, ":3:3: groups: group name ", &[quoted, ALLOWED, suggestion]));
    }
    let long = "x".repeat(300);
    cases.push(case(
        format!("groups:\n  alpha: [{long}]\n"),
        ":2:11: groups.alpha[0]: ",
        &["(300 characters)", ALLOWED],
    ));
    cases.extend([
        case(
            "groups:\n  alpha: [ada, bob, ada]\n",
            ":2:21: groups.alpha[2]: ",
            &["\"ada\"", "twice", "[0]"],
        ),
        case(
            "groups:\n  alpha: [ada]\n  alpha: [bob]\n",
            ":3:3: groups: ",
            &["\"alpha\"", "given twice", "in line 2"],
        ),
        case("groups: [ada]\n", ":1:9: groups: ", &["a list", "alpha: [alice, bob]"]),
        case("groups: ada\n", ":1:9: groups: ", &["\"ada\"", "alpha: [alice, bob]"]),
        case("groups: 5\n", ":1:9: groups: ", &["`5`", "alpha: [alice, bob]"]),
        case("groups: {alpha: ada}\n", ":1:17: groups.alpha: ", &["\"ada\"", "[alice, bob]"]),
        case("groups: {alpha: {bob: ada}}\n", ":1:18: groups.alpha: ", &["\"bob\"", "`users`"]),
        case("groups: {alpha: [[ada]]}\n", ":1:18: groups.alpha[0]: ", &["a list", "a user name"]),
        case("groups: {alpha: [~]}\n", ":1:18: groups.alpha[0]: ", &["missing", ALLOWED]),
        case("groups: {alpha: [yes, no]}\n", ":1:18: groups.alpha[0]: ", &["\"yes\"", "quote it"]),
        case("groups: {alpha: [1.5]}\n", ":1:18: groups.alpha[0]: ", &["1.5", "quote it"]),
        case(
            "groups: {alpha: [{name: ada, emial: x@y.z}]}\n",
            ":1:30: groups.alpha[0]: ",
            &["\"emial\"", "did you mean `email`?"],
        ),
        case(
            "groups: {alpha: [{name: ada, email: \"a@b\\r\\nBcc: c@d\"}]}\n",
            "groups.alpha[0].email: ",
            &["\"a@b\\r\\nBcc: c@d\"", "e-mail"],
        ),
        case("- ada\n- bob\n", ":1:1: ", &["a list"]),
        case("groups:\n\talpha: [ada]\n", ":2:1: ", &["no valid YAML", "tab"]),
        case("groups: {alpha: [ada\n", ":", &["no valid YAML"]),
        case("groups: {alpha: [ada]}\n---\ngroups: {}\n", "", &["more than one document"]),
        case("groups: {alpha: [\"\u{7}\"]}\n", ":1:19: ", &["control characters"]),
    ]);
    cases.extend(bombs());
    cases
}

/// Small texts that grow without end, or that a parser descends into without end.
fn bombs() -> Vec<Case> {
    let laughs: String = (1..10)
        .map(|level| {
            let nine = vec![format!("*l{}", level - 1); 9].join(", ");
            format!("  g{level}: &l{level} [{nine}]\n")
        })
        .collect();
    let many: String = (0..9000).map(|user| format!("u{user}, ")).collect();
    let shared: String = (0..9000).map(|group| format!("  h{group}: *g\n")).collect();
    vec![
        case(format!("groups:\n  g0: &l0 [a, b]\n{laughs}"), ":3:", &["a list", "a user name"]),
        case(format!("groups:\n  g: &g [{many}]\n{shared}"), ":", &["100000 users are too many"]),
        case(format!("groups: {{alpha: {}", "[".repeat(1 << 19)), ":1:", &["too many brackets"]),
        case(format!("groups: {}", "{a: ".repeat(1 << 17)), ":1:", &["too many brackets"]),
        case(format!("# {}", "x".repeat(5 << 20)), "", &["bytes", "allowed are"]),
    ]
}

#[test]
fn each_hostile_roster_is_refused_in_one_line_and_nothing_is_done() {
    let desk = Desk::new();
    for Case { text, place, parts } in cases() {
        desk.file("roster.yaml", &text);
        let before = desk.everything();
        for args in [
            ["run", "--config", "roster.yaml"].as_slice(),
            &["run", "--dry-run", "--groups", "roster.yaml"],
            &["up", "--groups", "roster.yaml"],
            &["config", "validate", "--config", "roster.yaml"],
        ] {
            if args[0] == "up" && before.len() > 4 {
                continue;
            }
            let line = error_line(&desk.thon(args), 2);
            let shown: String = text.chars().take(80).collect();
            assert!(line.len() < 1000, "{shown:?}: {line}");
            has(&line, &["roster.yaml", place]);
            for part in &parts {
                has(&line, &[part]);
            }
            assert_eq!(desk.everything(), before, "{shown:?}");
        }
    }
}
