-- Work on instances that somebody asked for, with what came of it. Users and results are JSON.

CREATE TABLE operations (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    kind       TEXT    NOT NULL,
    users      TEXT    NOT NULL,
    actor      TEXT    NOT NULL,
    state      TEXT    NOT NULL CHECK (state IN
        ('queued', 'running', 'succeeded', 'failed', 'interrupted')),
    created_at INTEGER NOT NULL,
    started_at INTEGER,
    ended_at   INTEGER,
    results    TEXT    NOT NULL DEFAULT '[]',
    problem    TEXT
) STRICT;

CREATE INDEX operations_unfinished ON operations (id) WHERE state IN ('queued', 'running');
