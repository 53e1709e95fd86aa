SELECT id FROM messages m WHERE EXISTS (SELECT 1 FROM other o WHERE o.id = m.id) AND NOT EXISTS (SELECT 1 FROM other o WHERE o.id = m.id + 1);
SELECT id FROM nowhere;
SELECT id, a.n FROM messages a FULL JOIN other b USING (id);
SELECT id, body AS b FROM c.m