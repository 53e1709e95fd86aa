SELECT sum(a) FROM t;
SELECT sum(n) OVER (ORDER BY id), lag(n, 1) OVER (ORDER BY id) FROM messages;
SELECT t.* , s.x y FROM a.t, b.s AS s;
SELECT to_base64(name::BYTES), hex('a'), sha256('a'), translate('abc','a','x'), levenshtein('a','b'), octet_length(name::BYTES) FROM messages