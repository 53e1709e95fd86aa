EXECUTE AS USER alice (SELECT 1; SELECT 2);
EXECUTE AS USER alice SELECT 1;
EXECUTE AS USER can only wrap a single SQL statement;
EXECUTE AS USER missing closing ')'