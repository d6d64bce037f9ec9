-- Settings, and configuration files with all their versions.

CREATE TABLE settings (
    key        TEXT    NOT NULL PRIMARY KEY,
    value      TEXT    NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE config_files (
    key     TEXT    NOT NULL,
    version INTEGER NOT NULL CHECK (version > 0),
    content TEXT    NOT NULL,
    actor   TEXT    NOT NULL,
    at      INTEGER NOT NULL,
    PRIMARY KEY (key, version)
) STRICT;
