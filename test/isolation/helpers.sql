-- What the isolation specs call, so that they run unchanged on heap tables
-- (default_table_access_method tells): there, sealing is a no-op.

CREATE FUNCTION is_omendb(t regclass) RETURNS boolean LANGUAGE sql STABLE AS
$$ SELECT a.amname = 'omendb' FROM pg_class c JOIN pg_am a ON a.oid = c.relam WHERE c.oid = t $$;

-- Seal every row of t, and insist: an older snapshot somewhere (autovacuum,
-- say) may keep rows from being frozen at first.
CREATE PROCEDURE seal(t regclass) LANGUAGE plpgsql AS
$$
DECLARE
	all_rows bigint;
	cold bigint;
BEGIN
	IF NOT is_omendb(t) THEN
		RETURN;
	END IF;
	FOR attempt IN 1..400 LOOP
		PERFORM omendb.seal(t, true);
		EXECUTE format('SELECT count(*) FROM %s', t) INTO all_rows;
		SELECT coalesce(sum(cold_rows), 0) INTO cold FROM omendb.row_groups(t);
		IF cold = all_rows AND cold > 0 THEN
			RETURN;
		END IF;
		COMMIT;
		PERFORM pg_sleep(0.025);
		COMMIT;
	END LOOP;
	RAISE EXCEPTION 'only % of % rows of % were sealed', cold, all_rows, t;
END
$$;

-- Seal what can be sealed now.
CREATE FUNCTION try_seal(t regclass) RETURNS void LANGUAGE plpgsql AS
$$
BEGIN
	IF is_omendb(t) THEN
		PERFORM omendb.seal(t, true);
	END IF;
END
$$;

CREATE FUNCTION unseal(t regclass) RETURNS void LANGUAGE plpgsql AS
$$
BEGIN
	IF is_omendb(t) THEN
		PERFORM omendb.unseal(t);
	END IF;
END
$$;
