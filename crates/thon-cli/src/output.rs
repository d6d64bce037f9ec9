//! Everything that is printed.
//!
//! For: results on standard output, everything else on standard error, each in the amount and the
//! form that was asked for.
//! Not for: progress bars; they have a module of their own.

use std::io::{IsTerminal, Write};

use comfy_table::{Cell, ContentArrangement, Table, presets};
use serde::Serialize;

use crate::args::{Color, Global};

/// How results and messages are printed.
#[derive(Debug, Clone)]
pub(crate) struct Output {
    json: bool,
    quiet: bool,
    verbose: u8,
    color: bool,
}

/// The colours that carry a meaning; the words carry it as well.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Tone {
    Good,
    Wait,
    Bad,
    Plain,
}

#[expect(clippy::unused_self, reason = "everything printed goes through this object")]
impl Output {
    pub(crate) fn new(global: &Global) -> Self {
        let color = match global.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => {
                std::io::stdout().is_terminal()
                    && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
            }
        };
        Self { json: global.json, quiet: global.quiet, verbose: global.verbose, color }
    }

    pub(crate) const fn json(&self) -> bool {
        self.json
    }

    pub(crate) const fn quiet(&self) -> bool {
        self.quiet
    }

    pub(crate) const fn verbose(&self) -> u8 {
        self.verbose
    }

    /// A line of a result.
    pub(crate) fn line(&self, text: &str) {
        // Whoever closed the pipe doesn't want the rest.
        drop(writeln!(std::io::stdout(), "{text}"));
    }

    /// A line of a result that goes on; false if nobody reads it any more.
    #[must_use]
    pub(crate) fn next_line(&self, text: &str) -> bool {
        let mut out = std::io::stdout();
        writeln!(out, "{text}").and_then(|()| out.flush()).is_ok()
    }

    /// A text of a result, as it is.
    pub(crate) fn text(&self, text: &str) {
        let mut out = std::io::stdout();
        drop(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
    }

    /// A result as JSON.
    pub(crate) fn value(&self, value: &impl Serialize) {
        match serde_json::to_string_pretty(value) {
            Ok(text) => self.line(&text),
            Err(error) => self.error(&error.to_string(), 1),
        }
    }

    /// Something that the person may want to know.
    pub(crate) fn note(&self, text: &str) {
        if !self.quiet {
            drop(writeln!(std::io::stderr(), "{text}"));
        }
    }

    /// Something that the person should know.
    pub(crate) fn warn(&self, text: &str) {
        if !self.quiet {
            drop(writeln!(std::io::stderr(), "warning: {text}"));
        }
    }

    /// Why the command fails, in one line.
    pub(crate) fn error(&self, text: &str, code: u8) {
        if self.json {
            json_error(text, code);
        } else {
            drop(writeln!(std::io::stderr(), "error: {text}"));
        }
    }

    /// A part of a line in the colour of its meaning.
    pub(crate) fn tinted(&self, text: &str, tone: Tone) -> String {
        // Select Graphic Rendition (ECMA-48): green, yellow, red.
        let number = match tone {
            Tone::Good => 32,
            Tone::Wait => 33,
            Tone::Bad => 31,
            Tone::Plain => return text.to_owned(),
        };
        if self.color { format!("\x1b[{number}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// A table with a heading. On a terminal that is too narrow for it each row becomes a few lines,
    /// so that no URL and no password is broken.
    pub(crate) fn table(&self, heading: &[&str], rows: Vec<Vec<(String, Tone)>>) {
        if let Some(width) = Table::new().width().filter(|_| std::io::stdout().is_terminal()) {
            let widths = (0..heading.len()).map(|column| {
                let cells = rows.iter().filter_map(|row| row.get(column));
                let cells = cells.map(|(text, _)| text.chars().count());
                cells.chain([heading[column].len()]).max().unwrap_or_default() + 2
            });
            if widths.sum::<usize>() > usize::from(width) {
                return self.blocks(heading, &rows);
            }
        }
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        table.set_header(heading.iter().copied());
        for row in rows {
            table.add_row(row.into_iter().map(|(text, tone)| self.cell(text, tone)));
        }
        if self.color {
            table.enforce_styling();
        } else {
            table.force_no_tty();
        }
        for line in table.lines() {
            self.line(line.trim().trim_end());
        }
    }

    /// A block of lines per row: the first cell alone, the others below it with their headings.
    fn blocks(&self, heading: &[&str], rows: &[Vec<(String, Tone)>]) {
        for row in rows {
            for (index, ((text, _), name)) in row.iter().zip(heading).enumerate() {
                if index == 0 {
                    self.line(text);
                } else if !text.is_empty() {
                    self.line(&format!("  {:<10}{text}", name.to_lowercase()));
                }
            }
        }
    }

    fn cell(&self, text: String, tone: Tone) -> Cell {
        let cell = Cell::new(text);
        if !self.color {
            return cell;
        }
        match tone {
            Tone::Good => cell.fg(comfy_table::Color::Green),
            Tone::Wait => cell.fg(comfy_table::Color::Yellow),
            Tone::Bad => cell.fg(comfy_table::Color::Red),
            Tone::Plain => cell,
        }
    }
}

/// Why the command fails, for a program.
pub(crate) fn json_error(text: &str, code: u8) {
    let value = serde_json::json!({ "error": text, "exit_code": code });
    drop(writeln!(std::io::stderr(), "{value}"));
}

/// So many of something: `1 route`, `2 routes`.
pub(crate) fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// A cell without a meaning of its own.
pub(crate) fn plain(text: impl Into<String>) -> (String, Tone) {
    (text.into(), Tone::Plain)
}
