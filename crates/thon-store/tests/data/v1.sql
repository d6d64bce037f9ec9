INSERT INTO events VALUES (1, 'spring', 'Spring', 1000, 1000);
INSERT INTO groups VALUES (1, 'alpha', 'Team Alpha', 1, 0, 536870912, 500, 128, 1073741824, 3, 1000, 2000);
INSERT INTO groups VALUES (2, 'beta', NULL, NULL, NULL, NULL, NULL, NULL, NULL, 1, 1000, 1000);
INSERT INTO users VALUES (1, 1, 'ada', 'Ada Lovelace', 'ada@example.org', 5, 1000, 3000);
INSERT INTO users VALUES (2, 2, 'bob', NULL, NULL, 1, 1000, 1000);
