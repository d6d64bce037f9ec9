INSERT INTO instances VALUES (1, 's1', 'alpha', 'ada', 'image');
INSERT INTO instance_states VALUES (1, 1000, 'Pending', 'made'), (1, 2000, 'Failed', 'exit code 1');
INSERT INTO audit VALUES (1, 1000, 'root', 'add user', 'alpha/ada', 'done');
