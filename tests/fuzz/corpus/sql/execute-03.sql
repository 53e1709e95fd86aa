EXECUTE AS USER must contain exactly one wrapped SQL statement;
EXECUTE AS USER must wrap SQL in parentheses;
EXECUTE AS USER requires a non-empty inner SQL statement;
EXECUTE AS USER username cannot be empty