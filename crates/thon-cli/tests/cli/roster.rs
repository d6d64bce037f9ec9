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

const ALLOWED: &str =
    "allowed are lower-case letters a-z, digits and inner hyphens, 1 to 32 characters";

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
        case("groups: {alpha: [true]}\n", ":1:18: groups.alpha[0]: ", &["\"true\"", "quote it"]),
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
        case("groups: {alpha: [\"\u{7}\"]}\n", ":1:19: ", &["control character", "u{7}"]),
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
        case(
            format!("groups:\n  g0: &l0 [a, b]\n{laughs}"),
            ":2:7: groups.g1[0]: ",
            &["a list", "a user name"],
        ),
        case(format!("groups:\n  g: &g [{many}]\n{shared}"), ":", &["100000 users are too many"]),
        case(format!("groups: {{alpha: {}", "[".repeat(1 << 19)), ":1:", &["too many brackets"]),
        case(format!("groups: {}", "{a: ".repeat(1 << 17)), ":1:", &["too many brackets"]),
        case(format!("# {}", "x".repeat(5 << 20)), "", &["bytes", "allowed are"]),
    ]
}

#[test]
fn each_hostile_roster_is_refused_in_one_line_and_nothing_is_done() {
    let desk = Desk::new();
    let mut misses = Vec::new();
    for Case { text, place, parts } in cases() {
        desk.file("roster.yaml", &text);
        let before = desk.everything();
        for args in [
            ["run", "--config", "roster.yaml"].as_slice(),
            &["run", "--dry-run", "--groups", "roster.yaml"],
            &["config", "validate", "--config", "roster.yaml"],
        ] {
            let said = desk.thon(args);
            let shown: String = text.chars().take(80).collect();
            assert_eq!(desk.everything(), before, "{shown:?} wrote something");
            if said.code != 2 {
                misses.push(format!("{shown:?} is accepted by {args:?}: {said:?}"));
                continue;
            }
            let line = error_line(&said, 2);
            assert!(line.len() < 1000, "{shown:?}: {line}");
            let parts = parts.iter().map(String::as_str).chain(["roster.yaml", place]);
            for part in parts.filter(|part| !line.contains(part)) {
                misses.push(format!("{shown:?}\n  says  {line}\n  lacks {part}"));
            }
        }
    }
    assert!(misses.is_empty(), "{}", misses.join("\n"));
}

#[test]
fn a_file_that_is_none_is_refused_with_its_name() {
    let desk = Desk::new();
    desk.file("latin1.yaml", b"groups:\n  alpha:\n  - jos\xe9\n");
    std::fs::create_dir(desk.work().join("folder.yaml")).unwrap();
    let before = desk.everything();
    for option in ["--config", "--groups"] {
        for (file, parts) in [
            ("latin1.yaml", ["latin1.yaml\":3: ", "not UTF-8", "save it as UTF-8"]),
            ("lost.yaml", ["\"lost.yaml\"", "there is no such file", option]),
            ("folder.yaml", ["\"folder.yaml\"", "a folder, not a file", option]),
            ("lost\n.yaml", ["\"lost\\n.yaml\"", "there is no such file", option]),
            // A file without an end doesn't eat all memory.
            ("/dev/zero", ["\"/dev/zero\"", "allowed are 4194304", "bytes"]),
        ] {
            let line = error_line(&desk.thon(&["run", option, file]), 2);
            has(&line, &parts);
            assert_eq!(desk.everything(), before, "{file}");
        }
    }
}

#[test]
fn without_users_nothing_runs() {
    let desk = Desk::new();
    for text in ["", "groups:\n", "groups: {}\n"] {
        desk.file("roster.yaml", text);
        for args in [["run"].as_slice(), &["run", "--config", "roster.yaml"]] {
            let line = error_line(&desk.thon(args), 2);
            has(
                &line,
                &["there are no users", "groups: {alpha: [alice, bob]}", "--groups", "--demo"],
            );
        }
        let line = error_line(&desk.thon(&["run", "--groups", "roster.yaml"]), 2);
        has(&line, &["there are no users", "roster.yaml"]);
    }
}

#[test]
fn whoever_is_named_has_to_be_there() {
    let desk = Desk::new();
    desk.file("event.yaml", "groups: {alpha: [ada, bob], beta: [bob]}\n");
    for (args, parts) in [
        (["run", "--user", "carol"], ["\"carol\"", "`ada`"]),
        (["run", "--user", "alpha/carol"], ["\"alpha/carol\"", "`alpha/ada`"]),
        (["run", "--group", "gamma"], ["\"gamma\"", "known are `alpha`, `beta`"]),
        (["run", "--user", "../x"], ["\"../x\"", "known are"]),
        (["stop", "$(id)", "--yes"], ["\"$(id)\"", "`ada`"]),
        (["logs", "a\nb", "-n1"], ["\"a\\nb\"", "`ada`"]),
        (["logs", "bob", "-n1"], ["\"bob\"", "alpha/bob or beta/bob"]),
    ] {
        let args = [args.as_slice(), &["--config", "event.yaml"]].concat();
        has(&error_line(&desk.thon(&args), 2), &parts);
    }
}
