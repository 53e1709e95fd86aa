SELECT _seq FROM c.m;
SELECT a + 1 AS x, lower(b) FROM t;
SELECT a + 1 FROM c.m;
SELECT a AS Xy, t.Bc, COUNT( * ), a + 1 FROM t