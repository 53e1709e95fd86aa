SELECT * FROM m;
SELECT * FROM messages;
SELECT * FROM messages WHERE at > $4 OR at <= $4 OR id = '42';
SELECT * FROM messages WHERE id IN (SELECT id FROM other WHERE other.n = messages.n)