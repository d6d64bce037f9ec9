INSERT INTO operations VALUES
    (1, 'launch', '[{"group":"alpha","user":"ada"}]', 'root', 'queued', 1000, NULL, NULL, '[]', NULL);
