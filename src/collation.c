/*-------------------------------------------------------------------------
 *
 * collation.c
 *	  Which collations have the order of bytes.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "collation.h"

#include "access/htup_details.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_database.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/syscache.h"

/* Is a provider's locale one whose order is that of the bytes? */
static bool
locale_is_c(char provider, int cache, HeapTuple tuple, AttrNumber collate)
{
	bool		isnull;
	Datum		datum;
	char	   *name;
	bool		result;

	/* the built-in provider (17 on) sorts by code points, which is the same */
	if (provider == 'b')
		return true;
	if (provider != COLLPROVIDER_LIBC)
		return false;
	datum = SysCacheGetAttr(cache, tuple, collate, &isnull);
	if (isnull)
		return false;
	name = TextDatumGetCString(datum);
	result = strcmp(name, "C") == 0 || strcmp(name, "POSIX") == 0;
	pfree(name);
	return result;
}

/*
 * omen_collation_is_c: see collation.h.
 *
 * PostgreSQL knows, but in each major says so in another way, from 18 on only to who
 * has ICU's headers.
 */
bool
omen_collation_is_c(Oid collation)
{
	static int	default_is_c = -1;
	HeapTuple	tuple;
	bool		result;

	if (collation == C_COLLATION_OID)
		return true;
	if (!OidIsValid(collation))
		return false;
	if (collation == DEFAULT_COLLATION_OID)
	{
		/* a database's does not change */
		if (default_is_c < 0)
		{
			tuple = SearchSysCache1(DATABASEOID,
									ObjectIdGetDatum(MyDatabaseId));
			if (!HeapTupleIsValid(tuple))
				elog(ERROR, "cache lookup failed for database %u",
					 MyDatabaseId);
			default_is_c = locale_is_c(((Form_pg_database) GETSTRUCT(tuple))->datlocprovider,
									   DATABASEOID, tuple,
									   Anum_pg_database_datcollate);
			ReleaseSysCache(tuple);
		}
		return default_is_c;
	}
	tuple = SearchSysCache1(COLLOID, ObjectIdGetDatum(collation));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for collation %u", collation);
	result = locale_is_c(((Form_pg_collation) GETSTRUCT(tuple))->collprovider,
						 COLLOID, tuple, Anum_pg_collation_collcollate);
	ReleaseSysCache(tuple);
	return result;
}
