-- What became of every sandbox, under the names of its time, and who changed what.

CREATE TABLE instances (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    sandbox    TEXT NOT NULL UNIQUE,
    group_name TEXT NOT NULL,
    user_name  TEXT NOT NULL,
    image      TEXT
) STRICT;

CREATE INDEX instances_user ON instances (group_name, user_name);

CREATE TABLE instance_states (
    instance_id INTEGER NOT NULL REFERENCES instances (id) ON DELETE CASCADE,
    at          INTEGER NOT NULL,
    state       TEXT    NOT NULL CHECK (state IN
        ('Pending', 'Running', 'Pausing', 'Paused', 'Stopping', 'Terminated', 'Failed')),
    reason      TEXT    NOT NULL,
    PRIMARY KEY (instance_id, at, state)
) STRICT, WITHOUT ROWID;

CREATE TABLE audit (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    at      INTEGER NOT NULL,
    actor   TEXT    NOT NULL,
    action  TEXT    NOT NULL,
    subject TEXT    NOT NULL,
    result  TEXT    NOT NULL
) STRICT;
