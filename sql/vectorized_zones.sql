--
-- Functions of timestamps with time zone, on vectors and row by row: zones whose
-- offsets change, at midnight and a minute after, by half an hour, by a day, and that
-- are no whole number of minutes
--
SET omendb.enable_vectorized_scan = force;
SET omendb.enable_vectorized_agg = force;
SET max_parallel_workers_per_gather = 0;
SET timezone = 'UTC';
\getenv abs_srcdir PG_ABS_SRCDIR
\set include :abs_srcdir '/sql/include/vectorized.sql'
\set ECHO none
\i :include
\set ECHO all

CREATE TABLE vz (id int, at timestamptz, d date) USING omendb;
INSERT INTO vz SELECT g, timestamptz '2006-12-30 00:00+00' + g * interval '388 min 6 s', date '2006-12-30' + g / 2 FROM generate_series(0, 4000) g;
INSERT INTO vz SELECT 20000 + g, timestamptz '1969-12-01 00:00+00' + g * interval '23 h 56 min', date '1969-12-01' + g FROM generate_series(0, 1000) g;
-- to the minute around changes of the zones below
INSERT INTO vz SELECT 30000 + 1000 * i + g, t + g * interval '1 min', t::date + g % 3 FROM generate_series(-180, 180) g,
	unnest(ARRAY['2007-11-04 02:31+00', '2011-03-27 01:00+00', '2011-12-30 10:00+00', '2008-04-05 15:00+00', '1972-01-07 00:44:30+00',
		'2010-10-17 03:00+00', '1999-12-31 23:59:59.999999+00']::timestamptz[]) WITH ORDINALITY u(t, i);
INSERT INTO vz VALUES (90001, 'infinity', 'infinity'), (90002, '-infinity', '-infinity'), (90003, NULL, NULL),
	(90004, '4000-06-01 12:00+00', '4000-06-01'), (90005, '1000-01-01 00:00+00 BC', '1000-01-01 BC'), (90006, '1850-07-01 00:00+00', '1850-07-01');
CALL pg_temp.vec_seal('vz');
ANALYZE vz;

CREATE FUNCTION vz_rows(q text) RETURNS text LANGUAGE plpgsql AS
$$
DECLARE
	r text;
BEGIN
	EXECUTE format('SELECT count(*) || '' '' || md5(string_agg(q::text, '' '' ORDER BY q::text COLLATE "C")) FROM (%s) q', q) INTO r;
	RETURN r;
END
$$;
CREATE FUNCTION vz_zone(zone text) RETURNS TABLE (expr text, rows text, node text) LANGUAGE plpgsql AS
$$
DECLARE
	r record;
BEGIN
	PERFORM set_config('timezone', zone, true);
	FOREACH expr IN ARRAY ARRAY[
		'date_trunc(''second'', at)', 'date_trunc(''minute'', at)', 'date_trunc(''hour'', at)', 'date_trunc(''day'', at)',
		'date_trunc(''week'', at)', 'date_trunc(''month'', at)', 'date_trunc(''quarter'', at)', 'date_trunc(''year'', at)',
		'extract(minute FROM at)', 'extract(hour FROM at)', 'extract(day FROM at)', 'extract(isodow FROM at)', 'date_part(''hour'', at)',
		'date_part(''doy'', at)', 'extract(year FROM at)', 'at::date', 'd::timestamptz', 'd::timestamp', 'date_trunc(''month'', d)', 'at::timestamp::date']
	LOOP
		SELECT * INTO r FROM pg_temp.vec_pair('vz_rows', format('SELECT id, max(%s) FROM vz GROUP BY id', expr));
		rows := CASE WHEN r.vectors IS DISTINCT FROM r.row_path THEN 'DIFFERENT' ELSE split_part(r.vectors, ' ', 1) END;
		node := r.node;
		RETURN NEXT;
	END LOOP;
END
$$;
SELECT * FROM vz_zone('UTC');
SELECT zone, string_agg(DISTINCT rows || ' ' || node, ', ') AS results
	FROM unnest(ARRAY['Europe/Berlin', 'America/St_Johns', 'Pacific/Apia', 'Australia/Lord_Howe', 'Africa/Monrovia', 'Asia/Kathmandu', 'America/Sao_Paulo']) zone,
		LATERAL vz_zone(zone) GROUP BY zone ORDER BY zone COLLATE "C";

-- as conditions and keys, with the zone changed between executions of one plan
PREPARE vz_days AS SELECT at::date, extract(hour FROM at), count(*), min(at), max(at) FROM vz
	WHERE date_trunc('day', at) BETWEEN '2007-11-03 00:00-02:30' AND '2007-11-05 00:00-03:30' AND id >= 30000 GROUP BY 1, 2 ORDER BY 1, 2;
SET timezone = 'America/St_Johns';
EXECUTE vz_days;
SET timezone = 'Europe/Berlin';
EXECUTE vz_days;
RESET timezone;
DEALLOCATE vz_days;
DROP TABLE vz;
