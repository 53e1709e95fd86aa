CREATE TABLE refuses with the original's messages;
CREATE TABLE t ();
CREATE TABLE t (_seq INT PRIMARY KEY);
CREATE TABLE t (a INT NULL PRIMARY KEY)