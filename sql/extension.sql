--
-- The schema omendb is the superuser's who made the extension, and nobody
-- else's: whoever could add a function there would have superusers call it
--
CREATE ROLE regress_omen_dbo;
CREATE DATABASE regression_omen_hostile OWNER regress_omen_dbo TEMPLATE template0;
\c regression_omen_hostile

-- the owner of the database comes first
SET ROLE regress_omen_dbo;
CREATE SCHEMA omendb;
CREATE FUNCTION omendb.seal(text) RETURNS text LANGUAGE sql AS
$$ SELECT 'ran as superuser: ' || rolsuper FROM pg_roles WHERE rolname = current_user $$;
RESET ROLE;
CREATE EXTENSION omendb;
CREATE EXTENSION omendb SCHEMA omendb;
CREATE EXTENSION IF NOT EXISTS omendb;
SELECT omendb.seal('t');
-- nor is a schema taken that was given away
ALTER SCHEMA omendb OWNER TO CURRENT_USER;
\set VERBOSITY terse
CREATE EXTENSION omendb;
\set VERBOSITY default
DROP SCHEMA omendb CASCADE;
CREATE EXTENSION omendb;

-- whose it is now
SELECT nspowner::regrole = current_user::regrole AS own,
	has_schema_privilege('regress_omen_dbo', oid, 'CREATE') AS others_create
	FROM pg_namespace WHERE nspname = 'omendb';
SELECT pg_describe_object(d.classid, d.objid, 0)
	FROM pg_depend d
	WHERE refclassid = 'pg_namespace'::regclass AND refobjid = 'omendb'::regnamespace
		AND NOT EXISTS (SELECT FROM pg_depend e
			WHERE e.classid = d.classid AND e.objid = d.objid AND e.deptype = 'e');
SELECT proname FROM pg_proc p JOIN pg_language l ON l.oid = prolang
	WHERE pronamespace = 'omendb'::regnamespace AND lanname <> 'c'
		AND NOT coalesce(proconfig::text LIKE '%search_path%', false);
SET ROLE regress_omen_dbo;
CREATE FUNCTION omendb.seal(text) RETURNS text LANGUAGE sql AS $$ SELECT 'mine' $$;
ALTER SCHEMA omendb RENAME TO omendb_old;
DROP SCHEMA omendb CASCADE;
DROP EXTENSION omendb;
ALTER EXTENSION omendb UPDATE;
RESET ROLE;

-- updates look again
ALTER EXTENSION omendb UPDATE;
ALTER SCHEMA omendb OWNER TO regress_omen_dbo;
ALTER EXTENSION omendb UPDATE;
ALTER SCHEMA omendb OWNER TO CURRENT_USER;
GRANT CREATE ON SCHEMA omendb TO regress_omen_dbo;
ALTER EXTENSION omendb UPDATE;
SET ROLE regress_omen_dbo;
CREATE FUNCTION omendb.seal(text) RETURNS text LANGUAGE sql AS $$ SELECT 'mine' $$;
RESET ROLE;
REVOKE CREATE ON SCHEMA omendb FROM regress_omen_dbo;
ALTER EXTENSION omendb UPDATE;
DROP FUNCTION omendb.seal(text);
GRANT CREATE ON SCHEMA omendb TO PUBLIC;
ALTER EXTENSION omendb UPDATE;
REVOKE CREATE ON SCHEMA omendb FROM PUBLIC;
ALTER EXTENSION omendb UPDATE;

-- the schema goes with the extension
DROP EXTENSION omendb;
SELECT count(*) FROM pg_namespace WHERE nspname = 'omendb';

\c regression
DROP DATABASE regression_omen_hostile;
DROP ROLE regress_omen_dbo;
