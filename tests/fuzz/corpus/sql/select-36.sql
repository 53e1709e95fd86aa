SELECT abs(-2.5), round(2.5), round(-2.5), round(3), ceil(1.2), ceil(3), floor(-1.2), trunc(-1.7) FROM t WHERE abs(-2.5);
SELECT sign(-3), sqrt(16), mod(7, 3), mod(7, 0), epoch_ms(at), now(), CURRENT_TIMESTAMP, CURRENT_TIMESTAMP() FROM t WHERE sign(-3);
SELECT CURRENT_USER, current_user(), CURRENT_USER_ID(), CURRENT_ROLE, SNOWFLAKE_ID(), UUID_V7(), ULID(), 1 + missing FROM t WHERE CURRENT_USER;
SELECT other.id, xyz.messages.id, id = 'abc', id = $5, id = $6, 9223372036854775807 + 1, small + small, -(-9223372036854775808) FROM t WHERE other.id