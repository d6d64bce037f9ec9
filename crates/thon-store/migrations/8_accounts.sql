-- As whom a browser is logged in: with an account of a provider, or with the dashboard's password.

ALTER TABLE sessions ADD COLUMN account TEXT CHECK (account IS NULL OR json_valid(account));
ALTER TABLE sessions ADD COLUMN role TEXT NOT NULL DEFAULT 'admin'
    CHECK (role IN ('participant', 'viewer', 'operator', 'admin'));

-- What browsers keep while somebody signs in is sealed with this, where thon.yaml names no secret.

CREATE TABLE sealing_secret (
    id     INTEGER PRIMARY KEY CHECK (id = 1),
    secret TEXT    NOT NULL
) STRICT;
