SELECT a IN 5;
SELECT a IS 5;
SELECT a, FROM t;
SELECT a.id FROM messages a, other b WHERE a.id = b.id GROUP BY 1