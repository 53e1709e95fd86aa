SELECT regexp_replace('abc', 'b', 'x'), regexp_extract('a1', '[0-9]'), concat_ws('-', 'a', 'b'), md5('a') FROM messages;
SELECT round(a, 2) FROM t;
SELECT round(d, 1), lpad(name, 5, 'x'), split_part('a,b', ',', 2), chr(65), mod(n, 0), power(2, 3), sign(d) FROM messages;
SELECT row_number() OVER () FROM t