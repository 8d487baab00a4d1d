-- What the tests of the vectorised nodes share; all of it goes with the session

-- Freeze and seal all rows; other databases' transactions may hold freezing back
-- for a moment
CREATE PROCEDURE pg_temp.vec_seal(t regclass) LANGUAGE plpgsql AS
$$
DECLARE
	total bigint;
	cold bigint;
BEGIN
	FOR attempt IN 1..400 LOOP
		PERFORM omendb.seal(t, true);
		EXECUTE format('SELECT count(*) FROM %s', t) INTO total;
		SELECT sum(cold_rows) INTO cold FROM omendb.row_groups(t);
		EXIT WHEN cold = total;
		COMMIT;
		PERFORM pg_sleep(0.025);
		COMMIT;
	END LOOP;
	IF cold IS DISTINCT FROM total THEN
		RAISE EXCEPTION '% of % rows of % are sealed', cold, total, t;
	END IF;
END
$$;

-- The nodes on or off, until the end of the transaction
CREATE FUNCTION pg_temp.vec_nodes(setting text) RETURNS void LANGUAGE sql AS
	$$ SELECT set_config('omendb.enable_vectorized_scan', setting, true), set_config('omendb.enable_vectorized_agg', setting, true) $$;

-- A query's rows both ways; says so if they differ
CREATE FUNCTION pg_temp.both(q text) RETURNS SETOF text LANGUAGE plpgsql AS
$$
DECLARE
	vector text[];
	plain text[];
BEGIN
	PERFORM pg_temp.vec_nodes('force');
	EXECUTE format('SELECT array_agg(q::text) FROM (%s) q', q) INTO vector;
	PERFORM pg_temp.vec_nodes('off');
	EXECUTE format('SELECT array_agg(q::text) FROM (%s) q', q) INTO plain;
	IF vector IS DISTINCT FROM plain THEN
		RETURN NEXT 'DIFFERENT: ' || plain::text;
	END IF;
	RETURN QUERY SELECT unnest(vector);
END
$$;

-- What the function run makes of a query both ways, and what aggregates it
CREATE FUNCTION pg_temp.vec_pair(run regproc, q text, OUT vectors text, OUT row_path text, OUT node text) LANGUAGE plpgsql AS
$$
DECLARE
	line text;
BEGIN
	EXECUTE format('SELECT %s($1)', run) INTO vectors USING q;
	node := 'row path';
	BEGIN
		FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || q LOOP
			IF line LIKE '%(OmendbVectorAgg)%' THEN
				node := 'vectors';
			END IF;
		END LOOP;
	EXCEPTION WHEN division_by_zero THEN
		node := 'not planned';
	END;
	PERFORM pg_temp.vec_nodes('off');
	EXECUTE format('SELECT %s($1)', run) INTO row_path USING q;
	PERFORM pg_temp.vec_nodes('force');
END
$$;

-- What is left of a query's rows to compare, or its error
CREATE FUNCTION pg_temp.vec_digest(q text) RETURNS text LANGUAGE plpgsql AS
$$
DECLARE
	r text;
BEGIN
	EXECUTE format('WITH q AS MATERIALIZED (%s) SELECT md5(coalesce(string_agg(q::text, '' '' ORDER BY q::text COLLATE "C"), ''no rows'')) FROM q', q) INTO r;
	RETURN r;
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE || ': ' || SQLERRM;
END
$$;

-- On vectors and row by row: the same?
CREATE FUNCTION pg_temp.vec_same(q text) RETURNS text LANGUAGE sql AS
$$
	SELECT CASE WHEN vectors IS DISTINCT FROM row_path THEN 'DIFFERENT'
		WHEN vectors ~ '^[0-9A-Z]{5}:' THEN vectors ELSE 'same' END FROM pg_temp.vec_pair('pg_temp.vec_digest', q)
$$;
