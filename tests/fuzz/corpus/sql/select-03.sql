SELECT (1, 2);
SELECT (SELECT max(id) FROM other) AS x, id FROM messages;
SELECT * FROM ;
SELECT * FROM 'file.parquet'