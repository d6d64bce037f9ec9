INSERT INTO operations (id, kind, users, actor, state, created_at, target) VALUES
    (77, 'move', '[{"group":"alpha","user":"ada"}]', 'root', 'queued', 1000, 'beta/ada');
