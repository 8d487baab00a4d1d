-- What the tests use is in an extension of its own: none of it in the users'
SELECT count(*) FROM pg_depend d JOIN pg_proc p ON p.oid = objid
	WHERE classid = 'pg_proc'::regclass AND deptype = 'e'
		AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'omendb')
		AND (proname ~ '^test_' OR proname ~ '^stop_event' OR prosrc ~ '^omen_test');
-- and nobody but superusers may call it
CREATE ROLE regress_omen_mere;
SELECT p.oid::regprocedure
	FROM pg_depend d JOIN pg_proc p ON p.oid = objid
	WHERE classid = 'pg_proc'::regclass AND deptype = 'e'
		AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'omendb_test')
		AND has_function_privilege('regress_omen_mere', p.oid, 'EXECUTE');
SET ROLE regress_omen_mere;
SELECT omendb.test_file_write(1, 1);
SELECT omendb.stop_event_set('seal-before-page', 'wait');
RESET ROLE;
-- not even when granted
GRANT EXECUTE ON FUNCTION omendb.test_file_list() TO regress_omen_mere;
SET ROLE regress_omen_mere;
SELECT * FROM omendb.test_file_list();
RESET ROLE;
REVOKE ALL ON FUNCTION omendb.test_file_list() FROM regress_omen_mere;
DROP ROLE regress_omen_mere;

-- loops over row groups end in a table of 32 TB, too (blocks 0 to 2^32 - 2)
SELECT n, omendb.test_count_row_groups(first, n) = (n + b - 1) / b - first / b AS ends
	FROM (VALUES (0, 0), (0, 1), (0, 1025), (4294965295, 4294967295),
			(4294965295, 4294967294), (4294965295, 4294966272)) v(first, n),
		CAST(current_setting('omendb.row_group_blocks') AS int) b;

-- checksums are PostgreSQL's, however many bytes are summed at once
SELECT omendb.test_crc(5000);
