-- Who takes part. Times are milliseconds since 1970, UTC. Ids are never given twice.

CREATE TABLE events (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    event_id   TEXT    NOT NULL UNIQUE,
    title      TEXT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

CREATE TABLE groups (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    name       TEXT    NOT NULL UNIQUE,
    title      TEXT,
    event      INTEGER REFERENCES events (id) ON DELETE SET NULL,
    internet   INTEGER CHECK (internet IN (0, 1)),
    memory     INTEGER CHECK (memory > 0),
    cpus_milli INTEGER CHECK (cpus_milli > 0),
    pids       INTEGER CHECK (pids > 0),
    disk       INTEGER CHECK (disk > 0),
    revision   INTEGER NOT NULL DEFAULT 1,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

CREATE INDEX groups_event ON groups (event);

CREATE TABLE users (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    group_id     INTEGER NOT NULL REFERENCES groups (id) ON DELETE CASCADE,
    name         TEXT    NOT NULL,
    display_name TEXT,
    email        TEXT,
    revision     INTEGER NOT NULL DEFAULT 1,
    created_at   INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL,
    UNIQUE (group_id, name)
) STRICT;
