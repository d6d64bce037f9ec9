CREATE TABLE sandbox_records (
    id VARCHAR NOT NULL PRIMARY KEY, sandbox_id VARCHAR NOT NULL, group_name VARCHAR NOT NULL,
    username VARCHAR NOT NULL, port INTEGER NOT NULL, endpoint VARCHAR, external_ip VARCHAR,
    image VARCHAR, password VARCHAR, created_at DATETIME NOT NULL, terminated_at DATETIME);
CREATE UNIQUE INDEX ix_sandbox_records_sandbox_id ON sandbox_records (sandbox_id);
CREATE TABLE app_settings (key VARCHAR NOT NULL PRIMARY KEY, value VARCHAR NOT NULL);
CREATE TABLE event_records (
    id VARCHAR NOT NULL PRIMARY KEY, event_id VARCHAR NOT NULL, title VARCHAR,
    created_at DATETIME NOT NULL, updated_at DATETIME NOT NULL);
CREATE TABLE group_records (
    id VARCHAR NOT NULL PRIMARY KEY, name VARCHAR NOT NULL, event_id VARCHAR, title VARCHAR,
    created_at DATETIME NOT NULL, updated_at DATETIME NOT NULL);
CREATE TABLE user_records (
    id VARCHAR NOT NULL PRIMARY KEY, group_id VARCHAR NOT NULL, username VARCHAR NOT NULL,
    email VARCHAR, sandbox_id VARCHAR, workspace_path VARCHAR, storage_path VARCHAR,
    created_at DATETIME NOT NULL, updated_at DATETIME NOT NULL);

INSERT INTO event_records VALUES
    ('e1', 'spring', 'Spring', '2026-03-01 10:00:00.000000', '2026-03-01 10:00:00.000000');
INSERT INTO group_records VALUES
    ('g1', 'alpha', 'spring', 'Team Alpha', '2026-03-01 10:00:00.000000', '2026-03-01 10:00:00.000000'),
    ('g2', 'Team B', NULL, NULL, '2026-03-01 10:00:00.000000', '2026-03-01 10:00:00.000000');
INSERT INTO user_records VALUES
    ('u1', 'g1', 'ada', 'ada@example.org', 's2', 'thon-workspace-alpha-ada', NULL,
     '2026-03-01 10:00:00.000000', '2026-03-01 10:00:00.000000'),
    ('u2', 'g1', 'José', NULL, NULL, NULL, NULL,
     '2026-03-01 10:00:00.000000', '2026-03-01 10:00:00.000000');
INSERT INTO sandbox_records VALUES
    ('r1', 's1', 'alpha', 'ada', 8443, '127.0.0.1:47887/proxy/8443', NULL, 'waterpistol/thon:latest',
     'hunter2', '2026-03-01 10:00:00.250000', '2026-03-01 11:30:00.000000'),
    ('r2', 's2', 'alpha', 'ada', 8443, NULL, NULL, NULL, 'hunter2', '2026-03-01 12:00:00.000000', NULL);
INSERT INTO app_settings VALUES
    ('external_ip', '203.0.113.7'), ('config_vscode_settings', '{ // mine' || char(10) || '}'),
    ('gateway_enabled', 'True'), ('config_kilo_json', '{"apiKey": "hunter2"');
