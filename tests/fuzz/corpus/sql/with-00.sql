WITH w AS (SELECT 1) SELECT * FROM c.m;
WITH w AS (SELECT 1) SELECT * FROM w;
WITH w AS (SELECT id, n FROM messages), v(a) AS (SELECT id FROM w) SELECT w.id, v.a FROM w, v