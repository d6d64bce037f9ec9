INSERT INTO sessions (id, hash, address, browser, created_at, seen_at, expires_at, account, role) VALUES
    (8, 'f00d', '203.0.113.7', 'Firefox', 1000, 2000, 3000,
     '{"provider":"github","subject":"583231","login":"ada-l","name":null,"email":null,"claims":{}}', 'viewer');
INSERT INTO sealing_secret VALUES (1, 'c2VjcmV0');
