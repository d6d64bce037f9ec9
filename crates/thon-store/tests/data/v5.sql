INSERT INTO tokens VALUES (1, 'ci', 'abcd', 'operate', 1000, NULL, NULL);
