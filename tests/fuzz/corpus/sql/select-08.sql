SELECT * FROM read_csv('x');
SELECT * FROM t;
SELECT * FROM t WHERE a = 1 ORDER BY b DESC LIMIT 5;
SELECT -small, +n, NOT ok, - -5, -(-5) FROM messages