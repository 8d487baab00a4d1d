-- entries of wide leaves, packed beside their images: whatever is put in comes
-- back as it was, in order, after builds, splits, deletion, VACUUM, retraining
SET client_min_messages = warning;
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';
SET extra_float_digits = 1;

CREATE TYPE pack_mood AS ENUM ('sad', 'ok', 'happy');
-- values of row i: lengths 0 to 40, long common beginnings, NULLs everywhere,
-- zeros and trailing blanks, numbers of all forms
CREATE FUNCTION pack_rows(first int, last int, OUT id int, OUT u uuid,
  OUT t text, OUT url text, OUT v varchar, OUT c char(20), OUT c2 char(60), OUT n name,
  OUT b bytea, OUT nu numeric, OUT nu2 numeric(12,2), OUT iv interval, OUT tz timetz, OUT i inet,
  OUT m macaddr, OUT m8 macaddr8, OUT l pg_lsn, OUT x xid8, OUT mo money,
  OUT ti tid, OUT i2 int2, OUT i4 int4, OUT i8 int8, OUT o oid, OUT ch "char",
  OUT bo bool, OUT f4 float4, OUT f8 float8, OUT ts timestamptz, OUT j jsonb,
  OUT e pack_mood, OUT a int[], OUT r int4range, OUT big text)
RETURNS SETOF record LANGUAGE sql AS $$
SELECT g,
  CASE WHEN g % 11 <> 0 THEN (CASE WHEN g % 3 = 0 THEN 'a0eebc99-9c0b-4ef8-bb6d-' || right(md5(g::text), 12)
    ELSE md5(g::text) END)::uuid END,
  CASE WHEN g % 13 <> 0 THEN left(CASE g % 4 WHEN 0 THEN 'https://www.example.com/' || md5(g::text) || md5(g::text)
    WHEN 1 THEN repeat(chr(97 + g % 5), 40) ELSE md5(g::text) || md5(g::text) END, g % 41) END,
  CASE WHEN g % 29 <> 0 THEN 'https://www.example.com/' ELSE '' END ||
    CASE WHEN g % 3 = 0 THEN 'path/of/all/things/' || g % 997 WHEN g % 31 = 0 THEN '' ELSE left(md5(g::text), g % 33) END,
  CASE WHEN g % 7 <> 0 THEN left(md5((g % 50)::text), g % 15) END,
  CASE WHEN g % 17 <> 0 THEN left(md5((g % 300)::text), g % 20) || CASE WHEN g % 19 = 0 THEN chr(1) ELSE '' END END,
  CASE WHEN g % 19 <> 0 THEN left(md5(g::text) || md5(g::text), g % 61) END,
  CASE WHEN g % 17 <> 0 THEN left(CASE WHEN g % 2 = 0 THEN 'pg_catalog_something_' ELSE '' END ||
    md5(g::text) || md5(g::text), g % 64) END,
  CASE WHEN g % 23 <> 0 THEN substr(decode(repeat(CASE g % 3 WHEN 0 THEN '00' ELSE 'ff00' END, g % 6) ||
    md5(g::text) || md5(g::text) || md5(g::text), 'hex'), 1, g % 41) END,
  CASE g % 20 WHEN 0 THEN NULL WHEN 1 THEN 'NaN' WHEN 2 THEN 'Infinity' WHEN 3 THEN '-Infinity'
    WHEN 4 THEN 0 WHEN 5 THEN 0.0000 WHEN 6 THEN g * 10::numeric ^ 290 WHEN 7 THEN -g * 10::numeric ^ 290
    WHEN 8 THEN g * (10::numeric ^ (-300)) WHEN 9 THEN g / 7.0 WHEN 10 THEN -g / 7.0 WHEN 11 THEN (g % 97)::numeric(20,3)
    WHEN 12 THEN (g % 97)::numeric(20,7) WHEN 13 THEN g * 100000000::numeric WHEN 14 THEN -g * 12345678.9
    WHEN 15 THEN (g % 100)::numeric(80,70) WHEN 16 THEN g * 1000000000000000000000000000.5
    WHEN 17 THEN 0.0001 * g WHEN 18 THEN 0.00000001 * g ELSE -0.5 * g END,
  CASE WHEN g % 37 <> 0 THEN (g * 7919 % 1000000) / 100.0 END,
  CASE WHEN g % 5 <> 0 THEN g % 3 * interval '1 mon' + g % 90 * interval '1 day' + g * interval '1 s 1 us' END,
  ('12:00:00+0' || g % 10)::timetz + g * interval '1 min',
  CASE WHEN g % 9 = 0 THEN ('2001:db8::' || to_hex(g % 65536) || '/' || 64 + g % 65)
    ELSE '10.' || g % 4 || '.' || g % 50 || '.' || g % 7 || '/' || 8 + g % 25 END::inet,
  left(md5(g::text), 12)::macaddr, left(md5(g::text), 16)::macaddr8,
  ('0/' || to_hex(g * 4096))::pg_lsn, (g % 900 + 4294967000)::text::xid8,
  CASE WHEN g % 41 <> 0 THEN ((g % 700) / 100.0)::numeric::money END, ('(' || g % 100 || ',' || 1 + g % 9 || ')')::tid,
  CASE WHEN g % 8 <> 0 THEN (g % 100 - 50)::int2 END, CASE WHEN g % 10 <> 0 THEN g % 40 - 20 END, (g - 1000) * 4611686018427::int8,
  CASE WHEN g % 12 <> 0 THEN (4294967295 - g)::oid END, chr(g % 127 + 1)::"char", CASE WHEN g % 4 <> 0 THEN g % 3 = 0 END,
  CASE WHEN g % 30 = 0 THEN 'NaN' WHEN g % 31 = 0 THEN '-0' ELSE (g - 500) / 3.0 END::float4, CASE WHEN g % 33 = 0 THEN '-0' ELSE (g % 77 - 33) / 7.0 END::float8,
  CASE WHEN g % 6 <> 0 THEN '2026-01-01'::timestamptz + g % 50 * interval '1 hour' END,
  jsonb_build_object('k', g % 70, 'm', left(md5(g::text), g % 9)),
  (CASE g % 4 WHEN 0 THEN 'sad' WHEN 1 THEN 'ok' WHEN 2 THEN 'happy' END)::pack_mood,
  CASE WHEN g % 14 <> 0 THEN ARRAY[g % 5, NULL, g] END, int4range(g % 60, g % 60 + g % 7),
  CASE WHEN g % 15 <> 0 THEN CASE WHEN g % 2 = 0 THEN 'same beginning of all ' ELSE '' END || repeat(left(md5((g % 20)::text), g % 9), 100) || g % 9 END
FROM generate_series(first, last) g
$$;

-- the indexes: columns in their order, included ones
CREATE TABLE pack_forms (f serial, keys text[], options text[], included text);
INSERT INTO pack_forms (keys, options, included) VALUES
  ('{u}', '{""}', NULL), ('{u}', '{DESC NULLS LAST}', NULL), ('{u,t}', '{"",""}', NULL),
  ('{t}', '{COLLATE \"C\"}', NULL), ('{t}', '{COLLATE \"C\" DESC}', 'nu, b'),
  ('{url}', '{COLLATE \"C\"}', NULL), ('{url}', '{COLLATE \"C\" DESC}', 'i4'), ('{url,i8}', '{COLLATE \"C\",DESC}', NULL),
  ('{v,t,nu}', '{COLLATE \"C\",COLLATE \"C\" DESC NULLS LAST,NULLS FIRST}', NULL),
  ('{c}', '{COLLATE \"C\"}', NULL), ('{c,v}', '{COLLATE \"C\" DESC,COLLATE \"C\"}', 'c2'), ('{c2}', '{COLLATE \"C\"}', NULL),
  ('{n}', '{""}', NULL), ('{n}', '{DESC}', 'u'), ('{b}', '{""}', NULL), ('{b,v}', '{DESC,COLLATE \"C\"}', NULL),
  ('{nu}', '{""}', NULL), ('{nu}', '{DESC NULLS LAST}', 'i2'), ('{nu2}', '{""}', NULL), ('{nu2,nu}', '{DESC,DESC}', NULL),
  ('{i4,nu}', '{DESC,NULLS FIRST}', NULL), ('{iv}', '{""}', NULL), ('{tz,iv}', '{DESC,""}', NULL), ('{i}', '{""}', NULL), ('{i,m}', '{DESC,""}', NULL),
  ('{m}', '{DESC}', NULL), ('{m8,l}', '{"",""}', NULL), ('{l}', '{DESC}', NULL), ('{x,ti}', '{"",DESC}', NULL), ('{mo,ti,bo}', '{"","",DESC}', NULL),
  ('{i2,i4,bo,ch,i8}', '{"",NULLS FIRST,DESC,"",DESC}', NULL), ('{bo,i2,o}', '{NULLS FIRST,DESC NULLS LAST,""}', 't'), ('{o,i4,i2}', '{DESC,"",""}', NULL),
  ('{f4}', '{""}', 'f8'), ('{f8,f4}', '{DESC,""}', NULL), ('{i4,ts}', '{"",""}', NULL), ('{i4,ts,t}', '{DESC,NULLS FIRST,COLLATE \"C\"}', NULL),
  ('{j}', '{""}', NULL), ('{i4,j}', '{"",DESC}', NULL), ('{e,t}', '{"",COLLATE \"C\"}', NULL), ('{a,i2}', '{"",""}', NULL), ('{r}', '{DESC}', 'nu'),
  ('{big}', '{COLLATE \"C\"}', NULL), ('{i4,big,u}', '{"",COLLATE \"C\" DESC,""}', NULL), ('{t}', '{omendb.text_bytewise_ops}', NULL);

-- Compare what an index has with its table: all columns of all entries in both
-- directions, and look-ups of single keys; returns what differs.
CREATE FUNCTION pack_compare(f int, keys text[], options text[], included text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  cols text := array_to_string(keys, ', ') || coalesce(', ' || included, '');
  ord text; back text; cond text; plan json; found text[]; want text[]; n bigint; m bigint;
  tab text := 'pack_' || f;
BEGIN
  SELECT string_agg(k || ' ' || CASE WHEN o ~ 'bytewise' THEN 'USING ~<~' ELSE o END, ', ' ORDER BY p),
    string_agg(k || ' ' || CASE WHEN o ~ 'bytewise' THEN 'USING ~>~'
      ELSE replace(o, 'DESC', '') || CASE WHEN o ~ 'DESC' THEN '' ELSE ' DESC' END ||
        CASE WHEN o ~ 'FIRST' THEN ' NULLS LAST' WHEN o ~ 'LAST' THEN ' NULLS FIRST' ELSE '' END END, ', ' ORDER BY p),
    string_agg('x.' || k || ' = y.' || k || CASE WHEN o ~ 'COLLATE' THEN ' COLLATE "C"' ELSE '' END, ' AND ' ORDER BY p)
    INTO ord, back, cond FROM unnest(keys, options) WITH ORDINALITY AS x(k, o, p);
  back := replace(replace(replace(back, 'NULLS LAST DESC', 'DESC'), 'NULLS FIRST DESC', 'DESC'), '  ', ' ');
  back := regexp_replace(regexp_replace(back, 'NULLS FIRST NULLS LAST', 'NULLS LAST', 'g'), 'NULLS LAST NULLS FIRST', 'NULLS FIRST', 'g');
  PERFORM omendb.alex_check(tab || '_i', true);

  SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_sort = off;
  SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; SET LOCAL enable_material = off; SET LOCAL enable_memoize = off;
  EXECUTE format('EXPLAIN (FORMAT JSON) SELECT %s FROM %s ORDER BY %s', cols, tab, ord) INTO plan;
  IF plan->0->'Plan'->>'Node Type' <> 'Index Only Scan' THEN RETURN 'forward: ' || (plan->0->'Plan'->>'Node Type'); END IF;
  EXECUTE format('SELECT array_agg(x) FROM (SELECT ROW(%s)::text AS x FROM (SELECT %1$s FROM %s ORDER BY %s) s) q', cols, tab, ord) INTO found;
  EXECUTE format('SELECT count(*) FROM %1$s x JOIN %1$s y ON %2$s WHERE x.id %% 5 = 0', tab, cond) INTO n;

  SET LOCAL enable_seqscan = on; SET LOCAL enable_sort = on; SET LOCAL enable_hashjoin = on; SET LOCAL enable_mergejoin = on;
  SET LOCAL enable_indexscan = off; SET LOCAL enable_indexonlyscan = off; SET LOCAL enable_nestloop = off;
  EXECUTE format('SELECT array_agg(x) FROM (SELECT ROW(%s)::text AS x FROM (SELECT %1$s FROM %s ORDER BY %s, ctid) s) q', cols, tab, ord) INTO want;
  EXECUTE format('SELECT count(*) FROM %1$s x JOIN %1$s y ON %2$s WHERE x.id %% 5 = 0', tab, cond) INTO m;
  SET LOCAL enable_indexscan = on; SET LOCAL enable_indexonlyscan = on; SET LOCAL enable_nestloop = on;

  IF found IS DISTINCT FROM want THEN
    RETURN (SELECT format('entry %s of %s is %s instead of %s', p, cardinality(want), a, b)
      FROM unnest(found, want) WITH ORDINALITY AS q(a, b, p) WHERE a IS DISTINCT FROM b LIMIT 1);
  END IF;
  IF n <> m THEN RETURN format('%s matches instead of %s', n, m); END IF;

  -- backwards: the same entries
  SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off;
  EXECUTE format('EXPLAIN (FORMAT JSON) SELECT %s FROM %s ORDER BY %s', cols, tab, back) INTO plan;
  IF plan->0->'Plan'->>'Scan Direction' <> 'Backward' THEN RETURN 'backward: ' || back; END IF;
  EXECUTE format('SELECT array_agg(x ORDER BY p DESC) FROM (SELECT ROW(%s)::text AS x, row_number() OVER () AS p FROM (SELECT %1$s FROM %s ORDER BY %s) s) q', cols, tab, back) INTO found;
  IF found IS DISTINCT FROM want THEN RETURN 'backward differs'; END IF;
  RETURN NULL;
END $$;
CREATE FUNCTION pack_compare_all(OUT indexes bigint, OUT equal bigint, OUT differences text) LANGUAGE sql AS $$
  SELECT count(*), count(*) FILTER (WHERE d IS NULL), string_agg('pack_' || f || ': ' || d, '; ' ORDER BY f)
  FROM (SELECT f, pack_compare(f, keys, options, included) AS d FROM pack_forms) s
$$;

-- built on rows
CREATE TABLE pack_source AS SELECT * FROM pack_rows(1, 800);
CREATE INDEX ON pack_source (id);
\set ECHO none
-- an index on id as well, so that no update is HOT and entries of equal keys are in
-- the order of their rows
SELECT format('CREATE TABLE pack_%s AS TABLE pack_source', f), format('CREATE INDEX ON pack_%s (id)', f),
  format('CREATE INDEX pack_%1$s_i ON pack_%1$s USING alex (%2$s)%3$s', f,
    (SELECT string_agg(k || ' ' || o, ', ' ORDER BY p) FROM unnest(keys, options) WITH ORDINALITY AS x(k, o, p)),
    ' INCLUDE (' || included || ')')
  FROM pack_forms ORDER BY f \gexec
\set ECHO all
SELECT count(*) FROM pg_class WHERE relname ~ '^pack_[0-9]+_i$';
SELECT prefix_length > 0 AS prefix FROM pack_forms, omendb.alex_stats(('pack_' || f || '_i')::regclass) WHERE keys[1] = 'url';
\set ECHO none
SELECT format('ANALYZE pack_%s', f) FROM pack_forms \gexec
\set ECHO all
SELECT * FROM pack_compare_all();

-- splits
INSERT INTO pack_source SELECT * FROM pack_rows(801, 2200) ORDER BY md5(id::text);
\set ECHO none
SELECT format('INSERT INTO pack_%s SELECT * FROM pack_source WHERE id > 800', f) FROM pack_forms \gexec
\set ECHO all
SELECT * FROM pack_compare_all();

-- versions with the same key, others with another key
\set ECHO none
ANALYZE pack_source;
SELECT format('UPDATE pack_%s SET id = -id WHERE id %% 3 = 0', f),
  format('UPDATE pack_%s p SET id = -id, (%s) = (SELECT %2$s FROM pack_source s WHERE s.id = 2201 - p.id) WHERE id %% 5 = 1 AND id > 0', f,
    (SELECT string_agg(DISTINCT k, ', ') FROM unnest(keys || '{bo}'::text[]) k))
  FROM pack_forms \gexec
\set ECHO all
SELECT * FROM pack_compare_all();

-- most of the upper half goes, and pages with it
\set ECHO none
SELECT format('DELETE FROM pack_%1$s WHERE ctid IN (SELECT ctid FROM (SELECT ctid, row_number() OVER (ORDER BY %2$s) AS n FROM pack_%1$s) s WHERE n > 700 AND n < 2150 OR n %% 9 = 0)', f,
    (SELECT string_agg(k || ' ' || CASE WHEN o ~ 'bytewise' THEN 'USING ~<~' ELSE o END, ', ' ORDER BY p) FROM unnest(keys, options) WITH ORDINALITY AS x(k, o, p))),
  format('VACUUM pack_%s', f)
  FROM pack_forms \gexec
SELECT 'DO $$ BEGIN PERFORM pg_sleep(1); END $$', format('VACUUM pack_%s', f)
  FROM pack_forms, omendb.alex_stats(('pack_' || f || '_i')::regclass) WHERE deleted_pages = 0 \gexec
\set ECHO all
SELECT * FROM pack_compare_all();

-- (autovacuum's snapshots may hold VACUUM back, of a table or two)
SELECT count(*) > 40 AS gave_pages_back FROM pack_forms, omendb.alex_stats(('pack_' || f || '_i')::regclass) WHERE deleted_pages > 0;

-- retrained, and filled again where pages were given back
SELECT count(r) FROM pack_forms, omendb.alex_retrain(('pack_' || f || '_i')::regclass) r;
SELECT * FROM pack_compare_all();
\set ECHO none
SELECT format('VACUUM pack_%s', f),
  format('INSERT INTO pack_%s SELECT * FROM pack_source WHERE id %% 2 = 0', f) FROM pack_forms ORDER BY f \gexec
\set ECHO all
SELECT * FROM pack_compare_all();

-- built anew
\set ECHO none
SELECT format('REINDEX INDEX pack_%s_i', f) FROM pack_forms \gexec
\set ECHO all
SELECT * FROM pack_compare_all();

\set ECHO none
SELECT format('DROP TABLE pack_%s', f) FROM pack_forms \gexec
\set ECHO all
DROP FUNCTION pack_compare, pack_compare_all, pack_rows;
DROP TABLE pack_forms, pack_source;
DROP TYPE pack_mood;
