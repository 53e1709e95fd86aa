INSERT INTO t VALUES (1, 2), (3);
INSERT t VALUES (1);
INSERT: rows, columns, DEFAULT, parameters and SELECT;
INSERT INTO chat.messages (id, name) VALUES ($1, 'a'), (DEFAULT, $2); UPDATE t SET name = lower($2) WHERE id = 5 AND _seq > 3;
DELETE FROM t WHERE id IN (1,2,3)