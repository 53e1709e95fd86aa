UPDATE requires a WHERE clause;
UPDATE t SET a 1;
UPDATE t SET a = 1;
UPDATE t SET a = 1 WHERE id = 1