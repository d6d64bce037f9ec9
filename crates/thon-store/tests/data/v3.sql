INSERT INTO settings VALUES ('external_ip', '203.0.113.7', 1000);
INSERT INTO config_files VALUES ('vscode_settings', 1, '{}', 'root', 1000);
