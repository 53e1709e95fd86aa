SELECT type, user, role, key, timestamp, date, first, count, name AS select, "from" FROM storage job;
SELECT year(at), dayname(at), last_day(at), epoch(at), epoch_ms(at), strftime(at, '%Y') FROM messages;
SELECT 1 + 2 * 3, (1 + 2) * 3, 7 / 2, 7 // 2, -7 // 2, -7 % 3, 5.5 % 2.0, 5.5 // 2.0 FROM t WHERE 1 + 2 * 3;
SELECT 1 / 0, 1.5 / 0, 1 % 0, 1 // 0, 1e0 % 0, n + 1, n / 2, f / n FROM t WHERE 1 / 0