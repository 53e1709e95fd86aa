SELECT * FROM c.m WHERE count(*) > 1;
SELECT * FROM c.m WHERE regexp_matches(a, 'x');
SELECT * FROM c.m, c.n;
SELECT * FROM chat.m WHERE a = 'x'