//! What a team has in its workspace.
use crate::support::write_file;

/// The heading of the team's README.
pub(crate) const HEADING: &str = "Tidewatch";

/// Puts the files there.
pub(crate) fn bring_files(container: &str) {
    write_file(container, "/workspace/README.md", "# Tidewatch\n\ntext\n");
}
