--
-- What is refused, and with which words
--
\set VERBOSITY default
CREATE ROLE omen_owner;
CREATE ROLE omen_other;
CREATE ROLE omen_monitor;
CREATE SCHEMA omen_errors;
GRANT ALL ON SCHEMA omen_errors TO PUBLIC;
SET search_path = omen_errors;

-- kinds of relations
CREATE TABLE h (id int PRIMARY KEY) USING heap;
SELECT omendb.seal('h');
SELECT omendb.unseal('h');
SELECT * FROM omendb.row_groups('h');
SELECT omendb.table_size('h');
CREATE VIEW vw AS SELECT 1 AS one;
SELECT omendb.seal('vw');
CREATE SEQUENCE sq;
SELECT omendb.seal('sq');
SELECT omendb.seal('h_pkey');
CREATE TABLE part (id int) PARTITION BY RANGE (id);
SELECT omendb.seal('part');
SELECT omendb.seal('pg_class');
SELECT omendb.seal('no_such_table');
SELECT omendb.seal(0);
SELECT omendb.seal(NULL) IS NULL AS null_in;
SELECT omendb.unseal(0);
SELECT * FROM omendb.row_groups(0);

-- temporary and unlogged tables work, and are never sealed
CREATE TEMP TABLE tmp (id int, v text) USING omendb;
INSERT INTO tmp SELECT g, 'v' || g FROM generate_series(1, 5000) g;
SELECT omendb.seal('tmp', true);
SELECT count(*) FROM tmp;
UPDATE tmp SET v = 'x' WHERE id = 17;
SELECT * FROM tmp WHERE id = 17;
DROP TABLE tmp;
CREATE UNLOGGED TABLE ulog (id int, v text) USING omendb;
INSERT INTO ulog SELECT g, 'v' || g FROM generate_series(1, 5000) g;
SELECT omendb.seal('ulog', true);
SELECT count(*) FROM ulog;
-- but may become logged ones
ALTER TABLE ulog SET LOGGED;
SELECT count(*) FROM ulog;
DROP TABLE ulog;

-- not in the transaction that made or rewrote the table
BEGIN;
CREATE TABLE fresh (id int) USING omendb;
INSERT INTO fresh SELECT generate_series(1, 1000);
SELECT omendb.seal('fresh', true);
ROLLBACK;

-- privileges: owners maintain their tables, nobody else does
SET ROLE omen_owner;
CREATE TABLE owned (id int PRIMARY KEY, v text) USING omendb;
INSERT INTO owned SELECT g, 'v' FROM generate_series(1, 1000) g;
SELECT row_groups >= 0 AS ok FROM omendb.seal('owned', true);
RESET ROLE;
GRANT INSERT ON owned TO omen_other;
GRANT pg_monitor TO omen_monitor;
SET ROLE omen_other;
SELECT omendb.seal('owned', true);
SELECT omendb.unseal('owned');
SELECT count(*) FROM omendb.row_groups('owned');
SELECT omendb.table_size('owned');
SET ROLE omen_monitor;
SELECT count(*) > 0 AS seen FROM omendb.row_groups('owned');
SELECT omendb.seal('owned', true);
SET ROLE omen_owner;
SELECT count(*) > 0 AS seen FROM omendb.row_groups('owned');
GRANT SELECT ON owned TO omen_other;
SET ROLE omen_other;
SELECT count(*) > 0 AS seen FROM omendb.row_groups('owned');
SELECT omendb.gc();
SELECT count(*) FROM owned;
UPDATE owned SET v = 'no';
RESET ROLE;
DROP TABLE owned;

-- who asks for a read-only transaction gets no pages written
CREATE TABLE ro (id int) USING omendb;
INSERT INTO ro SELECT generate_series(1, 1000);
BEGIN READ ONLY;
SAVEPOINT a;
SELECT omendb.seal('ro', true);
ROLLBACK TO a;
SELECT omendb.unseal('ro');
ROLLBACK TO a;
SELECT omendb.gc();
ROLLBACK TO a;
SELECT count(*) FROM ro;
SELECT count(*) > 0 AS seen FROM omendb.row_groups('ro');
ROLLBACK;
DROP TABLE ro;

-- constraints hold on sealed rows
CREATE TABLE con (id int PRIMARY KEY, v int CHECK (v > 0), w int NOT NULL) USING omendb;
INSERT INTO con SELECT g, g, g FROM generate_series(1, 1000) g;
VACUUM (FREEZE) con;
SELECT row_groups >= 0 AS ok FROM omendb.seal('con', true);
INSERT INTO con VALUES (500, 1, 1);
UPDATE con SET v = -1 WHERE id = 500;
UPDATE con SET w = NULL WHERE id = 500;
UPDATE con SET id = 501 WHERE id = 500;
ALTER TABLE con ADD CONSTRAINT small CHECK (v < 1000);
ALTER TABLE con ADD CONSTRAINT small CHECK (v < 1001);
ALTER TABLE con ADD UNIQUE (w);
DROP TABLE con;

-- settings
SET omendb.row_group_blocks = 8;
SET omendb.cache_size = '64MB';
SET omendb.no_such_setting = 1;
\set VERBOSITY sqlstate
ALTER SYSTEM SET omendb.seal_delay = '-1';
\set VERBOSITY default
ALTER SYSTEM SET omendb.reclaim_space = 'everything';

RESET search_path;
DROP SCHEMA omen_errors CASCADE;
DROP ROLE omen_owner, omen_other, omen_monitor;
