SUBSCRIBE TO SELECT * FROM chat.t OPTIONS (last_rows=20);
SUBSCRIBE TO chat.m WHERE a = 'x' OPTIONS (last_rows = 20, batch_size=5, from=77);
SUBSCRIBE TO chat.t;
SUBSCRIBE TO chat.t OPTIONS (rows=1)