-- what PostgreSQL reserves to btree, up to 17 (alex_reserved.out) more than from
-- 18 on (alex_reserved_1.out), and what a user of alex sees
CREATE EXTENSION IF NOT EXISTS omendb;

-- constraints cannot be backed by alex
CREATE TABLE alex_r (a int NOT NULL, b int);
CREATE UNIQUE INDEX alex_r_a ON alex_r USING alex (a);
ALTER TABLE alex_r ADD CONSTRAINT alex_r_pk PRIMARY KEY USING INDEX alex_r_a;
ALTER TABLE alex_r ADD CONSTRAINT alex_r_u UNIQUE USING INDEX alex_r_a;

-- a foreign key needs a btree up to 17, and finds it (see alex_foreign)
CREATE TABLE alex_ref1 (a int REFERENCES alex_r (a) ON UPDATE CASCADE);
ALTER TABLE alex_r ADD PRIMARY KEY (a);
CREATE TABLE alex_ref2 (a int REFERENCES alex_r (a));
INSERT INTO alex_r VALUES (7);
INSERT INTO alex_ref1 VALUES (7);
INSERT INTO alex_ref1 VALUES (8);
UPDATE alex_r SET a = 9;
DELETE FROM alex_r;
SELECT * FROM alex_ref1;
DROP TABLE alex_ref1;
DROP TABLE alex_ref2;
DELETE FROM alex_r;
CREATE TABLE alex_r2 (a int PRIMARY KEY);
CREATE UNIQUE INDEX alex_r2_a ON alex_r2 USING alex (a);
CREATE TABLE alex_ref (a int REFERENCES alex_r2 (a));
INSERT INTO alex_r2 VALUES (1);
INSERT INTO alex_ref VALUES (1);
INSERT INTO alex_ref VALUES (2);
DROP TABLE alex_ref, alex_r2;

-- ON CONFLICT works, on any arbiter and beside other indexes
INSERT INTO alex_r VALUES (1, 1), (2, 2);
INSERT INTO alex_r VALUES (1, 10), (3, 3) ON CONFLICT DO NOTHING;
INSERT INTO alex_r VALUES (1, 10), (4, 4)
  ON CONFLICT (a) DO UPDATE SET b = alex_r.b + excluded.b RETURNING *;
INSERT INTO alex_r VALUES (2, 10) ON CONFLICT ON CONSTRAINT alex_r_pkey
  DO UPDATE SET b = alex_r.b + excluded.b RETURNING *;
WITH x AS (INSERT INTO alex_r VALUES (3, 7) ON CONFLICT (a) DO UPDATE
             SET b = excluded.b RETURNING *)
  SELECT * FROM x;
PREPARE ins (int, int) AS INSERT INTO alex_r VALUES ($1, $2)
  ON CONFLICT (a) DO UPDATE SET b = excluded.b RETURNING *;
EXECUTE ins (3, 8);
EXECUTE ins (5, 9);
EXPLAIN (COSTS OFF) INSERT INTO alex_r VALUES (3, 7) ON CONFLICT (a) DO NOTHING;
SELECT * FROM alex_r ORDER BY a;
SELECT omendb.alex_check('alex_r_a', true);

-- arbiters that are partial, of an expression, or have one NULL at most
CREATE TABLE alex_arb (a int, b text, c float8);
CREATE UNIQUE INDEX alex_arb_p ON alex_arb USING alex (a) WHERE b IS NOT NULL;
CREATE UNIQUE INDEX alex_arb_e ON alex_arb USING alex ((a % 100)) WHERE b IS NULL;
CREATE UNIQUE INDEX alex_arb_c ON alex_arb USING alex (c) NULLS NOT DISTINCT;
INSERT INTO alex_arb VALUES (1, 'x', 1), (2, NULL, 2), (3, 'n', NULL), (4, 'z', '-0'), (5, 'nan', 'NaN');
INSERT INTO alex_arb VALUES (1, 'y', 10)
  ON CONFLICT (a) WHERE b IS NOT NULL DO UPDATE SET b = excluded.b || alex_arb.b RETURNING *;
INSERT INTO alex_arb VALUES (1, 'y', 10) ON CONFLICT (a) DO NOTHING;
INSERT INTO alex_arb VALUES (102, NULL, 11)
  ON CONFLICT ((a % 100)) WHERE b IS NULL DO UPDATE SET a = 202 RETURNING *;
INSERT INTO alex_arb VALUES (6, '', NULL), (7, '', 0), (8, '', '-NaN')
  ON CONFLICT (c) DO UPDATE SET b = alex_arb.b || excluded.a RETURNING *;
INSERT INTO alex_arb VALUES (9, '', 9), (9, '', 9) ON CONFLICT (c) DO UPDATE SET b = 'twice';
INSERT INTO alex_arb VALUES (1, '', 12), (13, 'ok', 13), (13, '', 14) ON CONFLICT DO NOTHING RETURNING *;
DROP TABLE alex_arb;

-- through a partitioned table from 18 on
CREATE TABLE alex_p (a int, b int) PARTITION BY RANGE (a);
CREATE TABLE alex_p1 PARTITION OF alex_p FOR VALUES FROM (0) TO (10);
CREATE UNIQUE INDEX alex_p1_a ON alex_p1 USING alex (a);
INSERT INTO alex_p VALUES (1, 1);
INSERT INTO alex_p VALUES (1, 2) ON CONFLICT DO NOTHING;
SELECT * FROM alex_p;
INSERT INTO alex_p1 VALUES (1, 2) ON CONFLICT (a) DO UPDATE SET b = excluded.b RETURNING *;

-- unique indexes on partitioned tables; plain ones are no problem
CREATE UNIQUE INDEX ON alex_p USING alex (a);
INSERT INTO alex_p VALUES (1, 3) ON CONFLICT (a) DO UPDATE SET b = excluded.b RETURNING *;
CREATE INDEX alex_p_b ON alex_p USING alex (b);
SELECT omendb.alex_check(indexrelid) FROM pg_index WHERE indrelid = 'alex_p1'::regclass;
SELECT omendb.alex_check('alex_p_b');

-- REFRESH MATERIALIZED VIEW CONCURRENTLY
CREATE MATERIALIZED VIEW alex_mv AS SELECT a, b FROM alex_r;
CREATE UNIQUE INDEX alex_mv_a ON alex_mv USING alex (a);
REFRESH MATERIALIZED VIEW CONCURRENTLY alex_mv;
REFRESH MATERIALIZED VIEW alex_mv;
SELECT count(*) FROM alex_mv;

-- row comparisons do not use the index; a single column does
SET enable_seqscan = off;
SET enable_bitmapscan = off;
DROP TABLE alex_r CASCADE;
CREATE TABLE alex_r (a int, b int);
CREATE INDEX alex_r_a ON alex_r USING alex (a);
INSERT INTO alex_r SELECT i, i FROM generate_series(1, 1000) i;
VACUUM ANALYZE alex_r;
EXPLAIN (COSTS OFF) SELECT * FROM alex_r WHERE (a, b) > (998, 998);
SELECT * FROM alex_r WHERE (a, b) > (998, 998) ORDER BY a;
EXPLAIN (COSTS OFF) SELECT * FROM alex_r WHERE a > 998;

DROP TABLE alex_r, alex_p;
