CREATE TABLE t (id UUID DEFAULT UUID_V7() PRIMARY KEY) WITH (TYPE='USER');
CREATE TABLE t (select INT PRIMARY KEY);
CREATE TABLE: automatic numbers, key constraints and TYPE in all their spellings;
CREATE TABLE: the chat example's columns, defaults and options