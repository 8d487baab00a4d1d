-- foreign keys beside unique alex indexes that are older than the btree
CREATE EXTENSION IF NOT EXISTS omendb;
CREATE SCHEMA alex_foreign;
SET search_path = alex_foreign;

CREATE TABLE p (a int NOT NULL, b int NOT NULL, c text);
INSERT INTO p SELECT i, i, i FROM generate_series(1, 10) i;
CREATE UNIQUE INDEX p_a_alex ON p USING alex (a);
CREATE UNIQUE INDEX p_b_alex ON p USING alex (b);
ALTER TABLE p ADD PRIMARY KEY (a);
CREATE UNIQUE INDEX p_b ON p (b);

-- each way to make one
CREATE TABLE f1 (x int REFERENCES p (a), y int REFERENCES p (b));
CREATE TABLE f2 (x int, FOREIGN KEY (x) REFERENCES p (a));
CREATE TABLE f3 (x int);
ALTER TABLE f3 ADD FOREIGN KEY (x) REFERENCES p (a) NOT VALID,
  ADD COLUMN y int REFERENCES p (b);
ALTER TABLE f3 VALIDATE CONSTRAINT f3_x_fkey;
ALTER TABLE f3 ADD CHECK (x > 0), ADD CONSTRAINT named FOREIGN KEY (x)
  REFERENCES p (b) ON DELETE CASCADE;
CREATE TABLE f4 (x int REFERENCES p (a)) PARTITION BY LIST (x);
CREATE TABLE f4_1 PARTITION OF f4 FOR VALUES IN (1);
CREATE TABLE f4_2 (x int REFERENCES p (a));
ALTER TABLE f4 ATTACH PARTITION f4_2 FOR VALUES IN (2);
CREATE SCHEMA alex_foreign_2
  CREATE TABLE f5 (x int REFERENCES alex_foreign.p (a));
DO $$ BEGIN EXECUTE 'CREATE TABLE f6 (x int REFERENCES p (a))'; END $$;
CREATE TEMP TABLE f7 AS SELECT 1 AS x;
-- itself, with an index made by the same command
ALTER TABLE p ADD COLUMN up int REFERENCES p (a);
ALTER TABLE p ADD COLUMN d int;
CREATE UNIQUE INDEX p_d_alex ON p USING alex (d);
ALTER TABLE p ADD UNIQUE (d), ADD FOREIGN KEY (up) REFERENCES p (d);
-- they are btree's
SELECT conrelid::regclass, conname, conindid::regclass, amname
  FROM pg_constraint JOIN pg_class c ON c.oid = conindid
  JOIN pg_am am ON am.oid = c.relam
  WHERE contype = 'f' AND confrelid = 'p'::regclass AND conparentid = 0
  ORDER BY conrelid::regclass::text COLLATE "C", conname COLLATE "C";

-- and work
INSERT INTO f1 VALUES (1, 1), (2, 2);
INSERT INTO f1 VALUES (11, 1);
INSERT INTO f1 VALUES (1, 11);
DELETE FROM p WHERE a = 1;
INSERT INTO f4 VALUES (1), (2);
DELETE FROM p WHERE a = 2;

-- a new type makes indexes and keys anew
ALTER TABLE p ALTER a TYPE bigint, ALTER b TYPE bigint;
ALTER TABLE f1 ALTER x TYPE bigint, ALTER y TYPE int2;
INSERT INTO f1 VALUES (11, 1);
-- also those of tables that inherit the column, or its type
CREATE TABLE i0 (x int);
CREATE TABLE i1 (FOREIGN KEY (x) REFERENCES p (a)) INHERITS (i0);
ALTER TABLE i0 ALTER x TYPE bigint;
CREATE TYPE ct AS (x int);
CREATE TABLE typed OF ct (FOREIGN KEY (x) REFERENCES p (a));
ALTER TYPE ct ALTER ATTRIBUTE x TYPE bigint CASCADE;
-- errors in between: what is around one goes on, and the usual order returns
CREATE FUNCTION fails() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  FOR i IN 1..2 LOOP
    BEGIN
      CREATE TABLE nothing (x int REFERENCES p (a), y text REFERENCES p (b));
    EXCEPTION WHEN datatype_mismatch THEN
      RAISE NOTICE 'failed: %', SQLERRM;
    END;
  END LOOP;
END $$;
SELECT fails();
BEGIN;
SELECT fails();
ALTER TABLE f3 ADD z int REFERENCES p (a);
COMMIT;
-- (oldest first; also where the command has not touched the table itself)
UPDATE p SET d = 1 WHERE a = 3;
\set VERBOSITY terse
CREATE TABLE nothing (x text REFERENCES p (a));
\set VERBOSITY default
INSERT INTO p (a, b, d) VALUES (3, 3, 1);
ALTER TABLE IF EXISTS nothing ADD FOREIGN KEY (x) REFERENCES p (a);
INSERT INTO p (a, b, d) VALUES (3, 3, 1);
-- names that cannot be resolved are the command's own errors
ALTER TABLE IF EXISTS nothing ADD FOREIGN KEY (x) REFERENCES nowhere.p (a);
CREATE TABLE nothing (x int REFERENCES nowhere.p (a));
CREATE TABLE nothing (x int REFERENCES elsewhere.nowhere.p (a));
-- a btree that gets younger
REINDEX INDEX CONCURRENTLY p_pkey;
REINDEX TABLE CONCURRENTLY p;
CREATE TABLE f8 (x int REFERENCES p (a), y int REFERENCES p (b));

-- event triggers in between
CREATE FUNCTION event() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN
  IF tg_tag = 'ALTER TABLE' THEN
    CREATE TABLE IF NOT EXISTS f10 (x int REFERENCES p (b));
    DROP INDEX IF EXISTS p_b_alex;
    CREATE UNIQUE INDEX p_b_alex ON p USING alex (b);
  END IF;
END $$;
CREATE EVENT TRIGGER alex_foreign_event ON ddl_command_start EXECUTE FUNCTION event();
CREATE TABLE f11 (x int, y int REFERENCES p (b));
ALTER TABLE f11 ADD FOREIGN KEY (x) REFERENCES p (a);
DROP EVENT TRIGGER alex_foreign_event;
\d f11

-- without a btree: see alex_reserved
CREATE TABLE q (a int);
CREATE UNIQUE INDEX q_a ON q USING alex (a);
CREATE TABLE f12 (x int REFERENCES q);
CREATE TABLE f12 (x int REFERENCES nowhere (a));
ALTER TABLE q ADD UNIQUE (a);
CREATE TABLE f12 (x int REFERENCES q (a));
INSERT INTO f12 VALUES (1);

SET client_min_messages = warning;
DROP SCHEMA alex_foreign, alex_foreign_2 CASCADE;
