/*-------------------------------------------------------------------------
 *
 * alexvalidate.c
 *	  Operator class validation for alex.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "alex/alex.h"

#include "access/amvalidate.h"
#include "access/htup_details.h"
#include "catalog/pg_amop.h"
#include "catalog/pg_amproc.h"
#include "catalog/pg_opclass.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/catcache.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/syscache.h"

/*
 * Check an operator class: the operators are btree's
 * five and return boolean, and each pair of types has a comparison function.
 * Complaints are INFO messages, as other access methods do.
 */
bool
alexvalidate(Oid opclassoid)
{
	bool		result = true;
	HeapTuple	classtup;
	Form_pg_opclass classform;
	Oid			opfamilyoid;
	Oid			opcintype;
	char	   *opclassname;
	CatCList   *proclist;
	CatCList   *oprlist;
	List	   *grouplist;
	ListCell   *lc;
	OpFamilyOpFuncGroup *opclassgroup = NULL;

	omen_require_preload();
	classtup = SearchSysCache1(CLAOID, ObjectIdGetDatum(opclassoid));
	if (!HeapTupleIsValid(classtup))
		elog(ERROR, "cache lookup failed for operator class %u", opclassoid);
	classform = (Form_pg_opclass) GETSTRUCT(classtup);
	opfamilyoid = classform->opcfamily;
	opcintype = classform->opcintype;
	opclassname = NameStr(classform->opcname);

	oprlist = SearchSysCacheList1(AMOPSTRATEGY, ObjectIdGetDatum(opfamilyoid));
	proclist = SearchSysCacheList1(AMPROCNUM, ObjectIdGetDatum(opfamilyoid));

	for (int i = 0; i < proclist->n_members; i++)
	{
		Form_pg_amproc procform = (Form_pg_amproc)
			GETSTRUCT(&proclist->members[i]->tuple);

		if (procform->amprocnum != ALEX_CMP_PROC ||
			!check_amproc_signature(procform->amproc, INT4OID, true, 2, 2,
									procform->amproclefttype,
									procform->amprocrighttype))
		{
			ereport(INFO,
					(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
					 errmsg("operator family of class \"%s\" of access method %s contains function %s with invalid support number %d or wrong signature",
							opclassname, "alex",
							format_procedure(procform->amproc),
							procform->amprocnum)));
			result = false;
		}
	}

	for (int i = 0; i < oprlist->n_members; i++)
	{
		Form_pg_amop oprform = (Form_pg_amop)
			GETSTRUCT(&oprlist->members[i]->tuple);

		if (oprform->amopstrategy < 1 ||
			oprform->amopstrategy > ALEX_NSTRATEGIES ||
			oprform->amoppurpose != AMOP_SEARCH ||
			OidIsValid(oprform->amopsortfamily) ||
			!check_amop_signature(oprform->amopopr, BOOLOID,
								  oprform->amoplefttype,
								  oprform->amoprighttype))
		{
			ereport(INFO,
					(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
					 errmsg("operator family of class \"%s\" of access method %s contains invalid operator %s",
							opclassname, "alex",
							format_operator(oprform->amopopr))));
			result = false;
		}
	}

	grouplist = identify_opfamily_groups(oprlist, proclist);
	foreach(lc, grouplist)
	{
		OpFamilyOpFuncGroup *group = (OpFamilyOpFuncGroup *) lfirst(lc);

		if (group->lefttype == opcintype && group->righttype == opcintype)
			opclassgroup = group;
		if (group->operatorset !=
			((1 << 1) | (1 << 2) | (1 << 3) | (1 << 4) | (1 << 5)) ||
			(group->functionset & (1 << ALEX_CMP_PROC)) == 0)
		{
			ereport(INFO,
					(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
					 errmsg("operator family of class \"%s\" of access method %s is missing operator(s) or the comparison function for types %s and %s",
							opclassname, "alex",
							format_type_be(group->lefttype),
							format_type_be(group->righttype))));
			result = false;
		}
	}
	if (opclassgroup == NULL)
	{
		ereport(INFO,
				(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
				 errmsg("operator class \"%s\" of access method %s is missing operator(s)",
						opclassname, "alex")));
		result = false;
	}

	ReleaseCatCacheList(proclist);
	ReleaseCatCacheList(oprlist);
	ReleaseSysCache(classtup);
	return result;
}
