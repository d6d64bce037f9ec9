//! Rosters in files: YAML and CSV, in and out.
//!
//! For: `thon import` and `thon export`.
//! Not for: what a column means and which names are made; [`thon_core::state`] decides it.

use std::path::Path;

use thon_core::config::Warning;
use thon_core::roster::Roster;
use thon_core::state::{ColumnNames, EventRecord, People, Sheet, Snapshot, groups_file, people};

use crate::error::Error;
use crate::load::read;

/// The form of a roster's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RosterFormat {
    /// A groups file.
    Yaml,
    /// A table with a line of headings; commas, semicolons or tabs between its cells.
    Csv,
}

impl RosterFormat {
    /// What a file's name says; YAML where it says nothing.
    #[must_use]
    pub fn of(path: &Path) -> Self {
        let ending = path.extension().and_then(|ending| ending.to_str());
        match ending.map(str::to_ascii_lowercase).as_deref() {
            Some("csv" | "tsv" | "txt") => Self::Csv,
            _ => Self::Yaml,
        }
    }
}

/// A roster that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RosterFile {
    /// The participants, and what was made of a table.
    pub people: People,
    /// The event, where the file names one.
    pub event: Option<EventRecord>,
    /// What was accepted and should be looked at.
    pub warnings: Vec<Warning>,
}

/// Reads a roster. `present` is who is known already: of a table they keep their names.
pub fn read_roster(
    path: &Path,
    format: RosterFormat,
    columns: &ColumnNames,
    present: &Snapshot,
) -> Result<RosterFile, Error> {
    let text = read("import", path)?;
    let origin = path.display().to_string();
    match format {
        RosterFormat::Yaml => {
            let file = Roster::parse_groups_file(&text, &origin)?;
            let title = file.title;
            Ok(RosterFile {
                people: People { roster: file.roster, ..People::default() },
                event: file.event_id.map(|id| EventRecord { id, title }),
                warnings: file.warnings,
            })
        }
        RosterFormat::Csv => {
            let people = people(&sheet(&text, &origin)?, columns, present)?;
            Ok(RosterFile { people, event: None, warnings: Vec::new() })
        }
    }
}

/// The cells of a table. What stands between them is what the first line has most of.
fn sheet(text: &str, origin: &str) -> Result<Sheet, Error> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let first = text.lines().next().unwrap_or_default();
    let count = |delimiter: &u8| first.bytes().filter(|byte| byte == delimiter).count();
    // Of equals the last one is taken: the comma.
    let delimiter = [b'\t', b';', b','].into_iter().max_by_key(count).unwrap_or(b',');
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(delimiter)
        .from_reader(text.as_bytes());
    let mut sheet = Sheet { origin: origin.to_owned(), ..Sheet::default() };
    let mut found_headings = false;
    for record in reader.records() {
        let record =
            record.map_err(|error| Error::input(format!("{origin}: it is no table: {error}")))?;
        let line = record.position().map_or(0, csv::Position::line);
        let cells: Vec<String> = record.iter().map(ToOwned::to_owned).collect();
        if found_headings {
            sheet.rows.push((line, cells));
        } else {
            sheet.headings = cells;
            found_headings = true;
        }
    }
    if !found_headings {
        return Err(Error::input(format!(
            "{origin}: it is empty; the first line names the columns"
        )));
    }
    Ok(sheet)
}

/// A roster as a file that [`read_roster`] reads.
#[must_use]
pub fn write_roster(format: RosterFormat, event: Option<&EventRecord>, roster: &Roster) -> String {
    match format {
        RosterFormat::Yaml => groups_file(event, roster),
        RosterFormat::Csv => table(roster),
    }
}

fn table(roster: &Roster) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let mut rows = vec![["group", "username", "name", "email"].map(ToOwned::to_owned)];
    for (id, user) in roster.users() {
        rows.push([
            id.group.to_string(),
            id.user.to_string(),
            inert(user.display.as_deref().unwrap_or_default()),
            inert(user.email.as_deref().unwrap_or_default()),
        ]);
    }
    for row in rows {
        // Writing to memory doesn't fail.
        drop(writer.write_record(&row));
    }
    writer.into_inner().ok().and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default()
}

/// A text that a spreadsheet doesn't take for a formula.
fn inert(text: &str) -> String {
    if text.starts_with(['=', '+', '-', '@']) { format!("'{text}") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(name: &str, text: &str) -> Result<RosterFile, Error> {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join(name);
        std::fs::write(&path, text).unwrap();
        let columns = ColumnNames::default();
        read_roster(&path, RosterFormat::of(&path), &columns, &Snapshot::default())
    }

    fn names(file: &RosterFile) -> Vec<String> {
        file.people.roster.users().map(|(id, user)| format!("{id} {}", user.shown())).collect()
    }

    #[test]
    fn tables_come_with_every_delimiter_quotes_and_a_byte_order_mark() {
        for text in [
            "Name,Team\n\"Lovelace, Ada\",a\n",
            "\u{feff}Name;Team\r\n\"Lovelace, Ada\";a\r\n",
            "Name\tTeam\nLovelace, Ada\ta\n",
        ] {
            let file = read_text("people.csv", text).unwrap();
            assert_eq!(names(&file), ["a/lovelace-ada Lovelace, Ada"], "{text:?}");
        }
        let error = read_text("people.csv", "").unwrap_err();
        assert!(error.is_bad_input() && error.to_string().contains("is empty"), "{error}");
    }

    #[test]
    fn a_line_in_a_quoted_cell_does_not_shift_the_lines_in_errors() {
        let error = read_text("p.csv", "name,team,note\nAda,a,\"x\ny\"\n🦀,a,\n").unwrap_err();
        assert!(error.to_string().contains("p.csv:4: "), "{error}");
    }

    #[test]
    fn what_is_exported_is_imported_again_as_it_was_and_runs_in_no_spreadsheet() {
        let text = "groups: {a: [x, {name: y, display_name: '=HYPERLINK(1)', email: y@e.org}]}";
        let file = read_text("g.yaml", text).unwrap();
        let table = write_roster(RosterFormat::Csv, None, &file.people.roster);
        assert_eq!(table, "group,username,name,email\na,x,,\na,y,'=HYPERLINK(1),y@e.org\n");
        assert_eq!(read_text("g.csv", &table).unwrap().people.roster, file.people.roster);
        let yaml = write_roster(RosterFormat::Yaml, None, &file.people.roster);
        assert_eq!(read_text("h.yaml", &yaml).unwrap().people.roster, file.people.roster);
    }
}
