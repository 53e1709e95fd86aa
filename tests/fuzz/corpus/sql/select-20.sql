SELECT count(DISTINCT n), string_agg(name, ',' ORDER BY id DESC), avg(n), min(at), max(u) FROM messages;
SELECT count(a) FROM t;
SELECT date_part('year', at), date_trunc('day', at), at - INTERVAL '1 month' FROM messages;
SELECT extract(year FROM at) FROM messages