//! Counting tests.
//!
//! For: reading cargo's `test result:` lines and saying what they come to.
//! Not for: deciding whether a step failed; its exit code does.

use std::fmt;

/// How many tests did what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) ignored: u64,
}

impl Tally {
    /// Adds what `line` says, if it is one of cargo's closing lines.
    pub(crate) fn read(&mut self, line: &str) {
        let plain = without_colours(line);
        let Some(rest) = plain.trim().strip_prefix("test result: ") else { return };
        // `ok. 5 passed; 0 failed; 0 ignored; …`
        let Some((_, counts)) = rest.split_once(". ") else { return };
        for count in counts.split("; ") {
            let Some((number, what)) = count.split_once(' ') else { continue };
            let Ok(number) = number.parse::<u64>() else { continue };
            match what {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.ignored += number,
                _ => {}
            }
        }
    }
}

impl fmt::Display for Tally {
    /// The closing line, in the form that continuous integrations read.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

/// The line without terminal colours: escape, bracket, parameters, `m`.
fn without_colours(line: &str) -> String {
    let mut parts = line.split("\u{1b}[");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        plain.push_str(part.split_once('m').map_or(part, |(_, rest)| rest));
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_lines_are_summed_up_and_others_are_not() {
        let mut tally = Tally::default();
        for line in [
            "running 17 tests",
            "test names::tests::what_is_no_dns_name_is_refused ... ok",
            "test result: ok. 17 passed; 0 failed; 0 ignored; 0 measured; 2 filtered out; \
             finished in 0.07s",
            "test result: \u{1b}[31mFAILED\u{1b}[0m. 9 passed; 6 failed; 1 ignored; 0 measured; \
             0 filtered out; finished in 6.61s",
            "the test result: 100 passed; is not cargo's",
        ] {
            tally.read(line);
        }
        assert_eq!(tally, Tally { passed: 26, failed: 6, ignored: 1 });
        assert_eq!(tally.to_string(), "26 passed, 6 failed");
    }
}
