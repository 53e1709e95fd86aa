SELECT id FROM messages LIMIT -1;
SELECT id FROM messages UNION ALL SELECT n FROM other ORDER BY id LIMIT 1;
SELECT id FROM messages UNION SELECT n FROM other EXCEPT SELECT 42;
SELECT id FROM messages a JOIN other b ON a.id = b.id