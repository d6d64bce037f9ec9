-- The dashboard's password and the browsers that are logged in. Only hashes of either are here.

CREATE TABLE dashboard_password (
    id     INTEGER PRIMARY KEY CHECK (id = 1),
    hash   TEXT    NOT NULL,
    set_at INTEGER NOT NULL
) STRICT;

CREATE TABLE sessions (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    hash       TEXT    NOT NULL UNIQUE,
    address    TEXT    NOT NULL,
    browser    TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    seen_at    INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;
