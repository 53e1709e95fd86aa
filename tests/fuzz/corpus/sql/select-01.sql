SELECT "current_user";
SELECT $0;
SELECT $51;
SELECT 'a'