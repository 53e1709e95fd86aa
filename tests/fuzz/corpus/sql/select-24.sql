SELECT id, name, a.n, b.n FROM messages a JOIN other b USING (id, name) WHERE Nothing IS NULL;
SELECT id, row_number() OVER (PARTITION BY n ORDER BY id DESC ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM messages;
SELECT j -> 'a', j ->> 'b.c', json_get_int(j, 'a') FROM messages;
SELECT j->'a' FROM t