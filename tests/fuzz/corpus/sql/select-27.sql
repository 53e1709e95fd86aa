SELECT ntile(2) OVER (ORDER BY id), nth_value(id, 1) OVER (ORDER BY id), first_value(n) OVER () FROM messages;
SELECT quantile_cont(d, 0.5), median(d), mode(n), arg_max(name, id), approx_count_distinct(n) FROM messages;
SELECT query('SELECT 1');
SELECT read_text('/etc/passwd')