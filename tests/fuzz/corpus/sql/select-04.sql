SELECT * FROM (SELECT * FROM c.m) x;
SELECT * FROM (SELECT id, n AS k FROM messages) s JOIN (SELECT id, count(*) AS c FROM other GROUP BY id) t USING (id);
SELECT * FROM c.m LIMIT 1;
SELECT * FROM c.m ORDER BY a