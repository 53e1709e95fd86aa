SELECT m.* , m.id AS x FROM chat.messages m WHERE m.name LIKE 'Z%' AND chat.messages.id = 1;
SELECT m.*, m.id AS x FROM chat.messages m WHERE m.name LIKE 'Z%';
SELECT max(id) FROM messages GROUP BY n ORDER BY max(id), count(*);
SELECT missing FROM messages