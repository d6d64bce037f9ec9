INSERT INTO dashboard_password VALUES (1, '$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$aGFzaA', 1000);
INSERT INTO sessions VALUES (7, 'beef', '203.0.113.7', 'Firefox', 1000, 2000, 3000);
