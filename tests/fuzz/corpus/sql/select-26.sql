SELECT n + 1 AS m, count(*) FROM messages GROUP BY m ORDER BY m + 1;
SELECT n FROM messages WHERE count(*) > 1;
SELECT n, COUNT(*), sum(d) AS total FROM messages GROUP BY n HAVING count(*) > 0 ORDER BY total DESC, n;
SELECT n, count(*) OVER () FROM messages WHERE ok