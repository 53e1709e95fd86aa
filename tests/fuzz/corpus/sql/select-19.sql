SELECT a.id, b.id FROM messages a JOIN other b ON a.id = b.id WHERE a.n > 1 ORDER BY a.id DESC LIMIT 10 OFFSET 0;
SELECT bit_and(n), bool_or(ok), any_value(name), first(id), corr(d, n), stddev(d) FROM messages;
SELECT count(*) FROM t WHERE a > 1;
SELECT count(*), a FROM t