-- omendb.alex_default: CREATE INDEX without an access method.

CREATE FUNCTION pg_temp.made(t regclass) RETURNS TABLE (index name, am name)
LANGUAGE sql AS $$
  SELECT c.relname, a.amname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
    JOIN pg_am a ON a.oid = c.relam WHERE i.indrelid = t ORDER BY 1
$$;
CREATE TABLE alex_def (a int, b text, c text COLLATE "C", d point, e xml, f int[]);
CREATE INDEX d_off ON alex_def (a);
SHOW omendb.alex_default;
SET omendb.alex_default = on;
CREATE INDEX d_plain ON alex_def (a);
create /* using btree ( */ index -- using btree
  d_comment on only alex_def (a desc nulls last);
CREATE INDEX "d_using btree (" ON alex_def (a);
CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS d_unique ON public.alex_def (a, b);
CREATE INDEX d_expr ON alex_def (lower(b), (a + 1)) INCLUDE (c) WITH (fillfactor = 70) WHERE a > 0;
CREATE INDEX d_collate ON alex_def (b COLLATE "C");
CREATE INDEX d_array ON alex_def (f);
DO $$ BEGIN EXECUTE 'CREATE INDEX d_dynamic ON alex_def (c)'; CREATE INDEX d_static ON alex_def (c); END $$;
CREATE FUNCTION pg_temp.make() RETURNS void LANGUAGE sql AS 'SELECT 1; CREATE INDEX d_sql ON alex_def (c)';
SELECT pg_temp.make();
-- several statements in one string
SELECT 1 AS one \; CREATE INDEX d_multi ON alex_def (a) \; CREATE INDEX d_multi_btree ON alex_def USING btree (a);
-- who names btree gets it, and so does what only btree has
CREATE INDEX d_btree ON alex_def USING btree (a);
CREATE INDEX d_btree_using ON alex_def/**/Using"btree"(a);
CREATE INDEX d_opclass ON alex_def (b text_pattern_ops);
CREATE INDEX d_option ON alex_def (a) WITH (deduplicate_items = off);
CREATE INDEX d_fillfactor ON alex_def (a) WITH (fillfactor = 20);
CREATE INDEX d_hash ON alex_def USING hash (a);
CREATE INDEX d_gist ON alex_def USING gist (d);
SELECT * FROM pg_temp.made('alex_def');
-- no class anywhere: PostgreSQL's error
CREATE INDEX d_point ON alex_def (d);
CREATE INDEX d_none ON alex_def (nonesuch);
CREATE INDEX d_none ON nonesuch (a);
-- what a dump will say
SELECT pg_get_indexdef('d_expr'::regclass);

-- constraints, and copies of indexes, which are as they were
CREATE TABLE alex_def_k (id int PRIMARY KEY, u int UNIQUE, v int, EXCLUDE USING hash (v WITH =));
ALTER TABLE alex_def_k ADD CONSTRAINT alex_def_k_v UNIQUE (v);
CREATE TABLE alex_def_l (LIKE alex_def INCLUDING INDEXES);
SELECT * FROM pg_temp.made('alex_def_k');
SELECT am, count(*) FROM pg_temp.made('alex_def_l') GROUP BY 1 ORDER BY 1;
INSERT INTO alex_def_k VALUES (1, 1, 1) ON CONFLICT (id) DO NOTHING;
CREATE TABLE alex_def_r (id int REFERENCES alex_def_k);
CREATE INDEX d_cluster ON alex_def_k (u);
CLUSTER alex_def_k USING d_cluster;

-- within CREATE SCHEMA the text is the whole command's
CREATE SCHEMA alex_def_s CREATE TABLE t (a int) CREATE INDEX t_a ON t (a);
SELECT * FROM pg_temp.made('alex_def_s.t');

-- partitions have their parent's; unique ones are left to btree
CREATE TABLE alex_def_p (a int, b int) PARTITION BY RANGE (a);
CREATE TABLE alex_def_p1 PARTITION OF alex_def_p FOR VALUES FROM (0) TO (10);
CREATE INDEX d_part ON alex_def_p (b);
CREATE UNIQUE INDEX d_part_unique ON alex_def_p (a);
CREATE TABLE alex_def_p2 PARTITION OF alex_def_p FOR VALUES FROM (10) TO (20);
SELECT * FROM pg_temp.made('alex_def_p');
SELECT * FROM pg_temp.made('alex_def_p1');
SELECT * FROM pg_temp.made('alex_def_p2');
CREATE MATERIALIZED VIEW alex_def_m AS SELECT 1 AS a;
CREATE UNIQUE INDEX d_mat ON alex_def_m (a);
CREATE INDEX d_mat_plain ON alex_def_m (a);
REFRESH MATERIALIZED VIEW CONCURRENTLY alex_def_m;
SELECT * FROM pg_temp.made('alex_def_m');

-- they are used
INSERT INTO alex_def (a, b, c) SELECT i, i, i FROM generate_series(1, 1000) i;
ANALYZE alex_def;
SET enable_seqscan = off;
SELECT count(*) FROM alex_def WHERE lower(b) = '77' AND a > 0;
INSERT INTO alex_def (a, b) VALUES (1, '1');
INSERT INTO alex_def (a, b) VALUES (1, '1') ON CONFLICT (a, b) DO UPDATE SET c = 'again' RETURNING c;
RESET enable_seqscan;
RESET omendb.alex_default;
DROP TABLE alex_def, alex_def_l, alex_def_r, alex_def_k, alex_def_p;
DROP MATERIALIZED VIEW alex_def_m;
DROP SCHEMA alex_def_s CASCADE;
