//! Reading YAML so that every refusal knows its place.
//!
//! For: walking a YAML text once, keeping the dotted path, turning the first refusal into a
//! [`ConfigError`] with line, column, path and value, and stopping texts that were made to hurt.
//! Not for: knowing any key; the schema and the roster bring their own visitors.
//!
//! Scalars are read as they are written, whatever YAML would make of them: a user called `0x10`
//! stays `0x10`, and a number in quotes is a number where one is needed. Whether a scalar was
//! quoted is told from the text in front of it, which a borrowed scalar points into.

use std::cell::{Cell, RefCell};
use std::fmt::{self, Write as _};

use serde::de::{self, DeserializeSeed, Deserializer, Visitor};

use super::error::{ConfigError, Position, Warning, one_line};
use crate::name::quoted;

/// The longest text that is read, in bytes. Ten thousand users with e-mail addresses need less.
pub(crate) const MAX_TEXT: usize = 1 << 20;

/// The most brackets that may be open at one time. The schema needs four; the parser's time grows
/// with the square of this number.
const MAX_NESTING: usize = 64;

/// The most brackets in a text, open or not. Twice as many take the parser four times as long, and
/// with these, all nested, it takes about a second.
const MAX_BRACKETS: usize = 20_000;

/// The most values that a text may hold once its aliases are followed; without any alias a text of
/// [`MAX_TEXT`] bytes can't hold more than half as many as it has bytes.
const MAX_VALUES: usize = MAX_TEXT / 2;

/// The most bytes that all values may hold once aliases are followed.
const MAX_BYTES: usize = 4 * MAX_TEXT;

/// A step of a dotted path.
#[derive(Debug)]
pub(crate) enum Step {
    Key(String),
    Index(usize),
}

/// The state of one reading.
pub(crate) struct Reader<'t> {
    origin: &'t str,
    text: &'t str,
    path: RefCell<Vec<Step>>,
    /// The first refusal: its path and its words. The position comes with the parser's error.
    refusal: RefCell<Option<(String, String)>>,
    warnings: RefCell<Vec<Warning>>,
    values: Cell<usize>,
    bytes: Cell<usize>,
    odd_numbers: bool,
}

impl<'t> Reader<'t> {
    /// Reads `text` with `read`; warnings come back beside the result.
    pub(crate) fn run<T>(
        text: &'t str,
        origin: &'t str,
        read: impl FnOnce(&Self, serde_yaml::Deserializer<'t>) -> Result<T, serde_yaml::Error>,
    ) -> Result<(T, Vec<Warning>), ConfigError> {
        // Windows editors put one in front; the parser would count it as a column.
        let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
        let reader = Self {
            origin,
            text,
            path: RefCell::default(),
            refusal: RefCell::default(),
            warnings: RefCell::default(),
            values: Cell::new(0),
            bytes: Cell::new(0),
            odd_numbers: odd_numbers(text),
        };
        reader.guard()?;
        match read(&reader, serde_yaml::Deserializer::from_str(text)) {
            Ok(value) => Ok((value, reader.warnings.into_inner())),
            Err(error) => Err(reader.explain(&error)),
        }
    }

    /// Refuses what would cost the parser too much before it could refuse it.
    fn guard(&self) -> Result<(), ConfigError> {
        let whole = |problem: String, position| ConfigError::File {
            origin: self.origin.to_owned(),
            position,
            key: String::new(),
            problem,
        };
        if self.text.len() > MAX_TEXT {
            let problem =
                format!("{} bytes are too many: a file may hold {MAX_TEXT}", self.text.len());
            return Err(whole(problem, None));
        }
        if let Some(offset) = too_deep(self.text) {
            let problem = format!(
                "too many brackets: at most {MAX_NESTING} may be open at one time, and {MAX_BRACKETS} in all"
            );
            return Err(whole(problem, Some(self.position(offset))));
        }
        // The parser refuses these too, and says neither line nor column.
        let unprintable = |c: char| c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\u{85}');
        if let Some((offset, found)) = self.text.char_indices().find(|(_, c)| unprintable(*c)) {
            let problem =
                format!("there is a control character, {}: remove it", found.escape_unicode());
            return Err(whole(problem, Some(self.position(offset))));
        }
        Ok(())
    }

    /// The path where the reading stands.
    pub(crate) fn path(&self) -> String {
        let mut text = String::new();
        for step in self.path.borrow().iter() {
            match step {
                // Writing to a String can't fail.
                Step::Index(index) => {
                    let _ = write!(text, "[{index}]");
                }
                Step::Key(key) => {
                    if !text.is_empty() {
                        text.push('.');
                    }
                    let simple = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
                    if !key.is_empty() && key.len() <= 48 && key.chars().all(simple) {
                        text.push_str(key);
                    } else {
                        text.push_str(&quoted(key));
                    }
                }
            }
        }
        text
    }

    /// Goes one step down for the time of `read`. After a refusal the path stays where it was.
    pub(crate) fn at<T, E>(&self, step: Step, read: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        self.path.borrow_mut().push(step);
        let value = read()?;
        self.path.borrow_mut().pop();
        Ok(value)
    }

    /// Refuses what stands at the present path.
    pub(crate) fn refuse<E: de::Error>(&self, problem: impl Into<String>) -> E {
        let problem = problem.into();
        let mut refusal = self.refusal.borrow_mut();
        if refusal.is_none() {
            *refusal = Some((self.path(), problem));
        }
        E::custom("refused")
    }

    /// Accepts what stands at the present path, and says something about it.
    pub(crate) fn warn(&self, text: impl Into<String>) {
        let warning =
            Warning { origin: one_line(self.origin), key: self.path(), text: text.into() };
        self.warnings.borrow_mut().push(warning);
    }

    /// Counts a value; refuses when aliases have multiplied a small text into a large one.
    pub(crate) fn count<E: de::Error>(&self, bytes: usize) -> Result<(), E> {
        self.values.set(self.values.get() + 1);
        self.bytes.set(self.bytes.get() + bytes);
        if self.values.get() > MAX_VALUES || self.bytes.get() > MAX_BYTES {
            return Err(
                self.refuse("aliases multiply this text beyond measure: write the values out")
            );
        }
        Ok(())
    }

    /// Line and column of a byte of the text.
    pub(crate) fn position(&self, offset: usize) -> Position {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = before.matches('\n').count() + 1;
        Position { line, column: before[start..].chars().count() + 1 }
    }

    /// Where something was given first, as the end of a sentence.
    pub(crate) fn first(&self, offset: Option<usize>) -> String {
        offset.map_or_else(
            || "first further up".to_owned(),
            |offset| format!("first in line {}", self.position(offset).line),
        )
    }

    /// A scalar that points into the text.
    pub(crate) fn borrowed<'a>(&self, text: &'a str) -> Scalar<'a> {
        let offset = self.offset(text);
        let before = offset.and_then(|at| self.text[..at].chars().next_back());
        Scalar { text, plain: !matches!(before, Some('"' | '\'')), offset }
    }

    /// Whether a number that the parser hands over may have been written in another way than it
    /// reads: as `0x1F`, `0o17`, `0b11` or `+7`.
    pub(crate) fn has_odd_numbers(&self) -> bool {
        self.odd_numbers
    }

    /// The offset of a scalar that points into the text.
    fn offset(&self, scalar: &str) -> Option<usize> {
        let offset = (scalar.as_ptr() as usize).checked_sub(self.text.as_ptr() as usize)?;
        (offset + scalar.len() <= self.text.len()).then_some(offset)
    }

    /// Makes one line of the parser's error and of what was noted on the way.
    fn explain(&self, error: &serde_yaml::Error) -> ConfigError {
        let position = error.location().map(|at| Position { line: at.line(), column: at.column() });
        let (key, problem) = self.refusal.borrow_mut().take().unwrap_or_else(|| {
            let text = error.to_string();
            match text.split_once("invalid type: ") {
                Some((_, rest)) => (self.path(), wrong_type(rest)),
                None => (String::new(), self.syntax(&text, position)),
            }
        });
        ConfigError::File { origin: self.origin.to_owned(), position, key, problem }
    }

    /// The parser's own complaint, in one line and with a hint where the cause is a usual one.
    fn syntax(&self, text: &str, position: Option<Position>) -> String {
        let here = position.map(|at| format!(" at line {} column {}", at.line, at.column));
        let text = here.map_or_else(|| text.to_owned(), |here| text.replacen(&here, "", 1));
        let line = position.and_then(|at| self.text.lines().nth(at.line.saturating_sub(1)));
        let tab = line.is_some_and(|line| line.trim_start_matches(' ').starts_with('\t'));
        let hint = if tab { "; a tab can't indent YAML, use spaces" } else { "" };
        format!("this is no valid YAML: {}{hint}", one_line(&text))
    }
}

/// Whether a text holds anything that the parser may take for a number in an unusual form.
fn odd_numbers(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.windows(2).any(|pair| {
        matches!(pair, [b'0', b'x' | b'o' | b'b']) || (pair[0] == b'+' && pair[1].is_ascii_digit())
    })
}

/// The words for a value of the wrong kind, from serde's `<what>, expected <what> at line …`.
fn wrong_type(rest: &str) -> String {
    let rest = rest.rsplit_once(" at line ").map_or(rest, |(rest, _)| rest);
    let (found, expected) = rest.rsplit_once(", expected ").unwrap_or((rest, "something else"));
    let found = if found.starts_with("string") {
        // Not quoted: what stands in the place of a section may well be a key or a password.
        "a text"
    } else {
        match found {
            "sequence" => "a list",
            "map" => "a mapping",
            "unit value" => "nothing",
            "enum" => "a tag",
            other => other,
        }
    };
    format!("{} is not allowed here: expected {}", one_line(found), one_line(expected))
}

/// The offset where more brackets are open than any configuration needs. Quotes are followed within
/// a line only, so that one apostrophe can't hide a whole file; whoever gets around that with a
/// quoted text over two lines meets [`MAX_BRACKETS`].
fn too_deep(text: &str) -> Option<usize> {
    let (mut open, mut opened) = (0_usize, 0_usize);
    let mut offset = 0;
    for line in text.split_inclusive('\n') {
        let mut quote = None;
        let mut before = ' ';
        for (index, character) in line.char_indices() {
            let bracket = matches!(character, '[' | '{');
            opened += usize::from(bracket);
            match quote {
                Some(mark) if character == mark => quote = None,
                Some(_) => {}
                None => match character {
                    '#' if before.is_whitespace() => quote = Some('\n'),
                    '"' | '\'' if !before.is_alphanumeric() => quote = Some(character),
                    ']' | '}' => open = open.saturating_sub(1),
                    _ => open += usize::from(bracket),
                },
            }
            if open > MAX_NESTING || opened > MAX_BRACKETS {
                return Some(offset + index);
            }
            before = character;
        }
        offset += line.len();
    }
    None
}

/// A scalar as it stands in the text.
pub(crate) struct Scalar<'a> {
    /// Its characters, escapes resolved.
    pub(crate) text: &'a str,
    /// Written without quotes.
    pub(crate) plain: bool,
    /// Where it begins.
    pub(crate) offset: Option<usize>,
}

impl Scalar<'_> {
    /// True where YAML means nothing at all.
    pub(crate) fn is_null(&self) -> bool {
        self.plain && matches!(self.text, "" | "~" | "null" | "Null" | "NULL")
    }

    /// True where YAML means a truth value.
    pub(crate) fn is_bool(&self) -> bool {
        self.plain && matches!(self.text, "true" | "True" | "TRUE" | "false" | "False" | "FALSE")
    }
}

/// Reads a scalar; `take` makes a value of it or says what is wrong with it.
pub(crate) fn scalar<'de, D, T, F>(
    reader: &Reader<'_>,
    expected: &str,
    deserializer: D,
    take: F,
) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    F: FnOnce(&Scalar<'_>) -> Result<T, String>,
{
    deserializer.deserialize_str(ScalarVisitor { reader, expected, take })
}

struct ScalarVisitor<'r, 't, F> {
    reader: &'r Reader<'t>,
    expected: &'r str,
    take: F,
}

impl<F> ScalarVisitor<'_, '_, F> {
    fn take<T, E: de::Error>(self, scalar: &Scalar<'_>) -> Result<T, E>
    where
        F: FnOnce(&Scalar<'_>) -> Result<T, String>,
    {
        self.reader.count(scalar.text.len())?;
        (self.take)(scalar).map_err(|problem| self.reader.refuse(problem))
    }
}

impl<'de, T, F> Visitor<'de> for ScalarVisitor<'_, '_, F>
where
    F: FnOnce(&Scalar<'_>) -> Result<T, String>,
{
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        self.take(&Scalar { text, plain: false, offset: None })
    }

    fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<T, E> {
        let scalar = self.reader.borrowed(text);
        self.take(&scalar)
    }
}

/// A key as a seed: a scalar read by a function.
pub(crate) struct KeySeed<'r, 't, F> {
    pub(crate) reader: &'r Reader<'t>,
    pub(crate) expected: &'r str,
    pub(crate) take: F,
}

impl<'de, T, F> DeserializeSeed<'de> for KeySeed<'_, '_, F>
where
    F: FnOnce(&Scalar<'_>) -> Result<T, String>,
{
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        scalar(self.reader, self.expected, deserializer, self.take)
    }
}
