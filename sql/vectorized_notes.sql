-- What a backend has noted of thawed pages: its scans skip rows that have not
-- changed, whatever happened to those between them.  (Each row group of eight pages
-- keeps some cold ones, id % 1000 <= 600: of one without, nothing is noted.)
SET omendb.enable_vectorized_scan = force;
SET omendb.enable_vectorized_agg = force;
SET max_parallel_workers_per_gather = 0;

\getenv abs_srcdir PG_ABS_SRCDIR
\set include :abs_srcdir '/sql/include/vectorized.sql'
\set ECHO none
\i :include
\set ECHO all
CREATE TABLE noted (id int PRIMARY KEY, v int, f float8, pad text) USING omendb;
CREATE TABLE noted_other (id int REFERENCES noted);
INSERT INTO noted SELECT g, g % 50, g * 0.1, 'row ' || g FROM generate_series(1, 8000) g;
CALL pg_temp.vec_seal('noted');

-- Rows that differ between the paths, rows, and the same by counts
CREATE FUNCTION pg_temp.compare(OUT different bigint, OUT n bigint, OUT same boolean) LANGUAGE plpgsql AS $$
DECLARE
	vector text[];
	counted bigint;
	plain text[];
BEGIN
	PERFORM pg_temp.vec_nodes('force');
	SELECT array_agg(r.id || ' ' || r.v || ' ' || r.f || ' ' || r.pad || ' ') INTO vector FROM noted r;
	SELECT count(*) INTO counted FROM noted;
	PERFORM pg_temp.vec_nodes('off');
	SELECT array_agg(r.id || ' ' || r.v || ' ' || r.f || ' ' || r.pad || ' '), count(*) INTO plain, n FROM noted r;
	SELECT count(*) INTO different FROM unnest(vector, plain) AS u(a, b) WHERE a IS DISTINCT FROM b;
	same := counted = n AND cardinality(vector) = n;
END $$;

-- Of each page that is thawed: rows of the segment, rows of the page
CREATE FUNCTION pg_temp.thawed(q text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	line text;
	found text;
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) ' || q LOOP
		found := coalesce(substring(line FROM 'Rows: (.*)'), found);
	END LOOP;
	RETURN found;
END $$;

SELECT * FROM pg_temp.compare();
UPDATE noted SET v = v + 1 WHERE id % 100 = 0 AND id % 1000 > 600;
SELECT * FROM pg_temp.compare();
SELECT * FROM pg_temp.compare();
SELECT pg_temp.thawed('SELECT sum(v) FROM noted');
SELECT pg_temp.thawed('SELECT sum(v) FROM noted');

-- each of these between two scans of the same backend
DELETE FROM noted WHERE id % 100 = 7 AND id % 1000 > 600;
SELECT * FROM pg_temp.compare();
BEGIN;
DELETE FROM noted WHERE id % 10 = 8 AND id % 1000 > 600;
SELECT * FROM pg_temp.compare();
SAVEPOINT s;
UPDATE noted SET f = -f WHERE id % 10 = 3 AND id % 1000 > 600;
SELECT * FROM pg_temp.compare();
ROLLBACK TO s;
SELECT * FROM pg_temp.compare();
ROLLBACK;
SELECT * FROM pg_temp.compare();
SELECT count(*) FROM (SELECT FROM noted WHERE id % 20 = 1 AND id % 1000 > 600 FOR UPDATE) x;
SELECT * FROM pg_temp.compare();
INSERT INTO noted_other SELECT id FROM noted WHERE id % 30 = 2 AND id % 1000 > 600;
SELECT * FROM pg_temp.compare();
-- a cursor's snapshot, and its own rows
BEGIN;
DECLARE c CURSOR FOR SELECT count(*), sum(v), sum(f) FROM noted;
SELECT count(*), sum(v) AS before FROM noted;
DELETE FROM noted WHERE id % 100 = 9 AND id % 1000 > 600;
UPDATE noted SET v = v + 10 WHERE id % 100 = 10 AND id % 1000 > 600;
SELECT count(*), sum(v) AS after FROM noted;
FETCH c;
COMMIT;
-- pages that are pruned, vacuumed and filled again
SELECT * FROM pg_temp.compare();
VACUUM noted;
SELECT * FROM pg_temp.compare();
INSERT INTO noted SELECT g, 1, 2, 'new' FROM generate_series(10001, 10300) g;
SELECT * FROM pg_temp.compare();
VACUUM (FREEZE, DISABLE_PAGE_SKIPPING) noted;
SELECT * FROM pg_temp.compare();
-- sealed again, thawed again: another version of the row group
CALL pg_temp.vec_seal('noted');
SELECT * FROM pg_temp.compare();
UPDATE noted SET v = -1 WHERE id % 200 = 50 AND id % 1000 > 600;
SELECT * FROM pg_temp.compare();
UPDATE noted SET v = -2 WHERE id % 200 = 51 AND id % 1000 > 600;
SELECT * FROM pg_temp.compare();
-- added columns, and another file
ALTER TABLE noted ADD COLUMN late int DEFAULT 5;
UPDATE noted SET late = 6 WHERE id % 400 = 1 AND id % 1000 > 600;
SELECT * FROM pg_temp.compare();
SELECT late, count(*) FROM noted GROUP BY late ORDER BY late;
VACUUM FULL noted;
SELECT * FROM pg_temp.compare();
CALL pg_temp.vec_seal('noted');
UPDATE noted SET v = 0 WHERE id % 100 = 12 AND id % 1000 > 600;
SELECT * FROM pg_temp.compare();
-- nobody but SERIALIZABLE asks for each tuple
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT * FROM pg_temp.compare();
UPDATE noted SET v = 3 WHERE id = 77;
SELECT * FROM pg_temp.compare();
COMMIT;

-- random changes
SELECT setseed(0.3);
CREATE PROCEDURE pg_temp.churn(rounds int, OUT failed int) LANGUAGE plpgsql AS $$
DECLARE
	c record;
	k int;
BEGIN
	failed := 0;
	FOR i IN 1..rounds LOOP
		k := (random() * 7)::int * 1000 + 601 + random() * 390;
		BEGIN
			CASE (random() * 6)::int
				WHEN 0 THEN DELETE FROM noted WHERE id BETWEEN k AND k + 2 AND id NOT IN (SELECT id FROM noted_other);
				WHEN 1 THEN INSERT INTO noted VALUES (20000 + i, i, i, 'inserted');
				WHEN 2 THEN PERFORM FROM noted WHERE id BETWEEN k AND k + 5 FOR SHARE;
				WHEN 3 THEN UPDATE noted SET id = -id WHERE id = k AND id NOT IN (SELECT id FROM noted_other);
				ELSE UPDATE noted SET v = v + 1 WHERE id BETWEEN k AND k + 40 * random();
			END CASE;
			IF random() < 0.2 THEN
				SELECT * INTO c FROM pg_temp.compare();
				failed := failed + (c.different > 0 OR NOT c.same)::int;
			END IF;
			IF random() < 0.3 THEN
				RAISE EXCEPTION 'undone';
			END IF;
		EXCEPTION WHEN raise_exception THEN NULL;
		END;
		IF random() < 0.3 THEN
			COMMIT;
		END IF;
		SELECT * INTO c FROM pg_temp.compare();
		failed := failed + (c.different > 0 OR NOT c.same)::int;
		IF random() < 0.05 THEN
			COMMIT;
			PERFORM omendb.seal('noted', true);
			COMMIT;
		END IF;
	END LOOP;
END $$;
CALL pg_temp.churn(150, NULL);
-- the same where a page has so few line pointers that all of them can be noted
TRUNCATE noted, noted_other;
INSERT INTO noted SELECT g, g % 50, g * 0.1, repeat('wide ', 12) || g FROM generate_series(1, 8000) g;
CALL pg_temp.vec_seal('noted');
UPDATE noted SET v = v + 1 WHERE id % 4 = 0 AND id % 1000 > 600;
SELECT * FROM pg_temp.compare();
SELECT * FROM pg_temp.compare();
DELETE FROM noted WHERE id % 4 = 1 AND id % 1000 > 600;
SELECT * FROM pg_temp.compare();
SELECT * FROM pg_temp.compare();
-- sealed with line pointers that are not in use
VACUUM noted;
CALL pg_temp.vec_seal('noted');
UPDATE noted SET v = -3 WHERE id % 100 = 11 AND id % 1000 > 600;
SELECT * FROM pg_temp.compare();
SELECT * FROM pg_temp.compare();
CALL pg_temp.churn(150, NULL);
DROP TABLE noted_other, noted;
