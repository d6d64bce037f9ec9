//! Participants from a table, as registration sites export them.
//!
//! For: which column means what, names made from names or addresses, and two people whose names
//! come to the same. The same table gives the same names each time.
//! Not for: reading CSV text; the table comes as cells.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::slug::candidates;
use super::{Snapshot, UserRecord};
use crate::config::ConfigError;
use crate::config::error::unprintable;
use crate::config::types::is_email;
use crate::name::{GroupName, UserId, Username, quoted, slugify};
use crate::roster::{Roster, User};

/// The longest free text about somebody, in characters.
const MAX_TEXT: usize = 200;

/// What a column can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Column {
    /// The group.
    Group,
    /// The name that everything of a user's is named from.
    Username,
    /// The full name.
    Name,
    /// The first name.
    FirstName,
    /// The last name.
    LastName,
    /// The e-mail address.
    Email,
}

impl Column {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Group, Self::Username, Self::Name, Self::FirstName, Self::LastName, Self::Email];

    /// What it is called on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Group => "group",
            Self::Username => "username",
            Self::Name => "name",
            Self::FirstName => "first-name",
            Self::LastName => "last-name",
            Self::Email => "email",
        }
    }

    /// The headings that mean it, letters and digits alone; the likeliest first.
    const fn headings(self) -> &'static [&'static str] {
        match self {
            Self::Group => &[
                "group",
                "groupname",
                "team",
                "teamname",
                "class",
                "gruppe",
                "equipe",
                "grouptitle",
            ],
            Self::Username => &["username", "user", "login", "handle", "slug"],
            Self::Name => &[
                "displayname",
                "name",
                "fullname",
                "participant",
                "participantname",
                "attendee",
                "attendeename",
                "vollstandigername",
                "nom",
            ],
            Self::FirstName => &["firstname", "givenname", "vorname", "prenom", "forename"],
            Self::LastName => &["lastname", "surname", "familyname", "nachname", "nomdefamille"],
            Self::Email => &["email", "emailaddress", "mail", "attendeeemail", "mailadresse"],
        }
    }
}

impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A table as it stands in a file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sheet {
    /// What the file is called in errors.
    pub origin: String,
    /// The first line.
    pub headings: Vec<String>,
    /// The other lines: where each stands in the file, counted from 1, and its cells.
    pub rows: Vec<(u64, Vec<String>)>,
}

/// What the person said about the columns.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ColumnNames {
    /// The heading of a column, where the usual ones don't find it.
    pub named: BTreeMap<Column, String>,
    /// The group of everyone who is in no other.
    pub group: Option<GroupName>,
}

/// The participants of a table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct People {
    /// Everyone, in the order of the table.
    pub roster: Roster,
    /// The column that was taken for what, by its heading.
    pub columns: BTreeMap<Column, String>,
    /// Names that were made: from what, and the user that came of it.
    pub made: Vec<(String, UserId)>,
    /// What was passed over and should be looked at, one line each.
    pub notes: Vec<String>,
}

/// Reads the participants of a table. `present` is who is known: whoever is known by their e-mail
/// address keeps their name.
pub fn people(
    sheet: &Sheet,
    names: &ColumnNames,
    present: &Snapshot,
) -> Result<People, ConfigError> {
    let places = places(sheet, names)?;
    let address =
        |user: &UserRecord| Some((user.user.group.clone(), user.email.as_deref()?.to_lowercase()));
    let mut reader = Reader {
        sheet,
        names,
        places,
        known: present.users.iter().map(|user| (&user.user, user)).collect(),
        by_address: present
            .users
            .iter()
            .filter_map(|user| Some((address(user)?, user.user.clone())))
            .collect(),
        out: People::default(),
        taken: BTreeSet::new(),
        met: BTreeMap::new(),
    };
    for (column, place) in &reader.places {
        reader.out.columns.insert(*column, sheet.headings[*place].trim().to_owned());
    }
    for (line, cells) in &sheet.rows {
        if cells.iter().any(|cell| !cell.trim().is_empty()) {
            reader.row(*line, cells)?;
        }
    }
    Ok(reader.out)
}

/// A heading reduced to what is compared.
fn reduced(heading: &str) -> String {
    let plain = slugify(heading).unwrap_or_default();
    plain.chars().filter(|character| *character != '-').collect()
}

/// Where each column stands.
fn places(sheet: &Sheet, names: &ColumnNames) -> Result<BTreeMap<Column, usize>, ConfigError> {
    let reduced: Vec<String> = sheet.headings.iter().map(|heading| reduced(heading)).collect();
    let mut places = BTreeMap::new();
    for column in Column::ALL {
        if let Some(name) = names.named.get(&column) {
            let found = sheet.headings.iter().position(|heading| heading.trim() == name.trim());
            let Some(place) = found else {
                let has: Vec<String> = sheet.headings.iter().map(|text| quoted(text)).collect();
                let problem = format!(
                    "no column {} for {column}; there are {}",
                    quoted(name),
                    has.join(", ")
                );
                return Err(refused(sheet, 1, problem));
            };
            places.insert(column, place);
        }
    }
    for column in Column::ALL {
        if places.contains_key(&column) {
            continue;
        }
        let used: BTreeSet<usize> = places.values().copied().collect();
        let found = column.headings().iter().find_map(|wanted| {
            reduced.iter().enumerate().position(|(at, text)| text == wanted && !used.contains(&at))
        });
        if let Some(place) = found {
            places.insert(column, place);
        }
    }
    let has = |column: Column| places.contains_key(&column);
    let called =
        [Column::Username, Column::Name, Column::FirstName, Column::LastName, Column::Email];
    if !called.into_iter().any(has) {
        let problem = "no column for names or e-mail addresses was found in the first line; name \
                       one, as in `--map name=\"Your name\"`";
        return Err(refused(sheet, 1, problem.to_owned()));
    }
    if !has(Column::Group) && names.group.is_none() {
        let problem = "no column for groups was found in the first line; name one, as in `--map \
                       group=\"Team name\"`, or put everyone into one group with `--group`";
        return Err(refused(sheet, 1, problem.to_owned()));
    }
    Ok(places)
}

fn refused(sheet: &Sheet, line: u64, problem: String) -> ConfigError {
    let line = usize::try_from(line).unwrap_or(usize::MAX);
    ConfigError::File {
        origin: format!("{}:{line}", sheet.origin),
        position: None,
        key: String::new(),
        problem,
    }
}

struct Reader<'a> {
    sheet: &'a Sheet,
    names: &'a ColumnNames,
    places: BTreeMap<Column, usize>,
    known: BTreeMap<&'a UserId, &'a UserRecord>,
    by_address: BTreeMap<(GroupName, String), UserId>,
    out: People,
    /// The names of this table so far.
    taken: BTreeSet<UserId>,
    /// Whom of this table an address belongs to.
    met: BTreeMap<(GroupName, String), UserId>,
}

impl Reader<'_> {
    fn cell<'c>(&self, cells: &'c [String], column: Column) -> &'c str {
        let text = self.places.get(&column).and_then(|place| cells.get(*place));
        let text = text.map_or("", |text| text.trim());
        // What a spreadsheet would compute is exported with a quote before it.
        match text.strip_prefix('\'') {
            Some(rest) if rest.starts_with(['=', '+', '-', '@']) => rest,
            _ => text,
        }
    }

    /// A free text of one line.
    fn text(&self, line: u64, cells: &[String], column: Column) -> Result<String, ConfigError> {
        let text = self.cell(cells, column);
        if text.chars().count() > MAX_TEXT || text.chars().any(unprintable) {
            let problem = format!(
                "{column} {} is not allowed: one line of at most {MAX_TEXT} characters",
                quoted(text)
            );
            return Err(refused(self.sheet, line, problem));
        }
        Ok(text.to_owned())
    }

    fn row(&mut self, line: u64, cells: &[String]) -> Result<(), ConfigError> {
        let email = self.text(line, cells, Column::Email)?;
        if !email.is_empty() && !is_email(&email) {
            let problem = format!("{} is no e-mail address", quoted(&email));
            return Err(refused(self.sheet, line, problem));
        }
        let email = Some(email).filter(|email| !email.is_empty());
        let display = self.display(line, cells)?;
        let group = self.group(line, cells)?;
        let username = self.cell(cells, Column::Username).to_owned();
        let from = [
            username.as_str(),
            display.as_deref().unwrap_or_default(),
            email.as_deref().unwrap_or_default(),
        ];
        let Some(source) = from.into_iter().find(|text| !text.is_empty()) else {
            let problem = "neither a name nor an e-mail address stands here".to_owned();
            return Err(refused(self.sheet, line, problem));
        };
        let Some(base) = slugify(source) else {
            let problem = format!(
                "no name for a URL can be made of {}; add a column `username` with one",
                quoted(source)
            );
            return Err(refused(self.sheet, line, problem));
        };
        let Some((id, again)) = self.name(&group, &base, email.as_deref(), display.as_deref())
        else {
            let problem = format!("no name is free for {}", quoted(source));
            return Err(refused(self.sheet, line, problem));
        };
        if again {
            let note = format!("{}:{line}: {id} is in the table already", self.sheet.origin);
            self.out.notes.push(note);
            return Ok(());
        }
        if id.user.as_str() != source {
            self.out.made.push((source.to_owned(), id.clone()));
        }
        self.taken.insert(id.clone());
        if let Some(address) = email.as_deref().map(str::to_lowercase) {
            self.met.insert((group.clone(), address), id.clone());
        }
        let user = User { name: id.user, display, email };
        self.out.roster.add_group(group, None).users.push(user);
        Ok(())
    }

    fn display(&self, line: u64, cells: &[String]) -> Result<Option<String>, ConfigError> {
        let name = self.text(line, cells, Column::Name)?;
        let first = self.text(line, cells, Column::FirstName)?;
        let last = self.text(line, cells, Column::LastName)?;
        let parts = [first.as_str(), last.as_str()].join(" ");
        let shown = if name.is_empty() { parts.trim() } else { name.as_str() };
        Ok(Some(shown.to_owned()).filter(|shown| !shown.is_empty()))
    }

    /// The group of a row: its name, and its title where the name had to be made.
    fn group(&mut self, line: u64, cells: &[String]) -> Result<GroupName, ConfigError> {
        let text = self.text(line, cells, Column::Group)?;
        if text.is_empty() {
            return self.names.group.clone().ok_or_else(|| {
                let problem = "no group stands here; add it, or name one for all such rows with \
                               `--group`";
                refused(self.sheet, line, problem.to_owned())
            });
        }
        let name = slugify(&text).and_then(|slug| GroupName::new(slug).ok()).ok_or_else(|| {
            let problem = format!("no name for a URL can be made of group {}", quoted(&text));
            refused(self.sheet, line, problem)
        })?;
        let made = name.as_str() != text;
        let known = self.out.roster.group(&name).map(|group| group.title.clone());
        match known {
            None => {
                self.out.roster.add_group(name.clone(), made.then(|| text.clone()));
            }
            // Two groups that people read differently must not become one.
            Some(title) if made && title.as_deref().is_some_and(|title| !same(title, &text)) => {
                let problem = format!(
                    "groups {} and {} both come to the name `{name}`; rename one of them",
                    quoted(title.as_deref().unwrap_or_default()),
                    quoted(&text)
                );
                return Err(refused(self.sheet, line, problem));
            }
            Some(_) => {}
        }
        Ok(name)
    }

    /// The user's name in their group, and whether they were met before.
    fn name(
        &self,
        group: &GroupName,
        base: &str,
        email: Option<&str>,
        display: Option<&str>,
    ) -> Option<(UserId, bool)> {
        let email = email.map(str::to_lowercase);
        if let Some(address) = &email {
            let place = (group.clone(), address.clone());
            if let Some(met) = self.met.get(&place) {
                return Some((met.clone(), true));
            }
            if let Some(known) = self.by_address.get(&place) {
                return Some((known.clone(), false));
            }
        }
        let id = |name: &Username| UserId::new(group.clone(), name.clone());
        let free = |name: &Username| {
            let id = id(name);
            let fits = |known: &&UserRecord| may_be(known, email.as_deref(), display);
            !self.taken.contains(&id) && self.known.get(&id).is_none_or(fits)
        };
        let mut names = candidates(base).take(10_000).filter_map(|name| Username::new(name).ok());
        names.find(free).map(|name| (id(&name), false))
    }
}

/// Whether two titles differ in nothing but case and blanks.
fn same(one: &str, other: &str) -> bool {
    one.split_whitespace()
        .map(str::to_lowercase)
        .eq(other.split_whitespace().map(str::to_lowercase))
}

/// Whether someone known can be the person of this row: nothing that both say differs.
fn may_be(known: &UserRecord, email: Option<&str>, display: Option<&str>) -> bool {
    let agree = |known: Option<&str>, said: Option<&str>| match (known, said) {
        (Some(known), Some(said)) => same(known, said),
        _ => true,
    };
    match (known.email.as_deref(), email) {
        (Some(known), Some(said)) => known.to_lowercase() == said,
        _ => agree(known.display.as_deref(), display),
    }
}
