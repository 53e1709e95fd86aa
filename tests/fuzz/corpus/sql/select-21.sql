SELECT getenv('HOME');
SELECT id FROM messages CROSS JOIN (SELECT 1 AS one) x LEFT JOIN other o ON o.id = messages.id AND one = 1;
SELECT id FROM messages GROUP BY name;
SELECT id FROM messages LIMIT $1 OFFSET '0'