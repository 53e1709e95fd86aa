SELECT 'abc;
SELECT 'it''s', "name", `id` FROM messages;
SELECT 'é' x y;
SELECT (1