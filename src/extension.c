/*-------------------------------------------------------------------------
 *
 * extension.c
 *	  Whose schema "omendb" is.
 *
 * Superusers call what is in that schema.  Somebody who owned it, or could
 * create in it, would add functions that match such calls better and have them
 * run by superusers.  So the script makes the schema itself, as a member of
 * the extension, and fails where there is one (here we only say why).  What
 * the schema has become since is looked at before each update, whatever the
 * update script does.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "omendb.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/objectaddress.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_namespace.h"
#include "commands/extension.h"
#include "nodes/parsenodes.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#define OMEN_EXTENSION	"omendb"
#define OMEN_SCHEMA		"omendb"

static ProcessUtility_hook_type prev_process_utility = NULL;

/* May this role replace what superusers call anyway? */
static bool
is_trusted(Oid roleid)
{
	return roleid == GetUserId() || superuser_arg(roleid);
}

/* Owner of any object that has one, else InvalidOid */
static Oid
owner_of(Oid classid, Oid objid)
{
	AttrNumber	attno = get_object_attnum_owner(classid);
	Oid			owner = InvalidOid;
	Relation	catalog;
	HeapTuple	tup;

	if (attno == InvalidAttrNumber)
		return InvalidOid;
	catalog = table_open(classid, AccessShareLock);
	tup = get_catalog_object_by_oid(catalog, get_object_attnum_oid(classid),
									objid);
	if (HeapTupleIsValid(tup))
	{
		bool		isnull;
		Datum		value = heap_getattr(tup, attno,
										 RelationGetDescr(catalog), &isnull);

		if (!isnull)
			owner = DatumGetObjectId(value);
	}
	table_close(catalog, AccessShareLock);
	return owner;
}

/*
 * Error out unless the schema, everything in it, and the right to create in it
 * belong to the current user and other superusers alone.
 */
static void
check_schema(Oid schema)
{
	HeapTuple	tup;
	Oid			owner;
	Datum		acldatum;
	bool		isnull;
	Relation	depend;
	ScanKeyData key[2];
	SysScanDesc scan;

	tup = SearchSysCache1(NAMESPACEOID, ObjectIdGetDatum(schema));
	if (!HeapTupleIsValid(tup))
		elog(ERROR, "cache lookup failed for schema %u", schema);
	owner = ((Form_pg_namespace) GETSTRUCT(tup))->nspowner;
	if (!is_trusted(owner))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("schema \"%s\" belongs to role \"%s\"", OMEN_SCHEMA,
						GetUserNameFromId(owner, false)),
				 errdetail("Its owner could replace functions that superusers call."),
				 errhint("Look at what is in it, and change its owner with ALTER SCHEMA %s OWNER TO CURRENT_USER.",
						 OMEN_SCHEMA)));
	acldatum = SysCacheGetAttr(NAMESPACEOID, tup, Anum_pg_namespace_nspacl,
							   &isnull);
	if (!isnull)
	{
		Acl		   *acl = DatumGetAclP(acldatum);
		AclItem    *items = ACL_DAT(acl);

		for (int i = 0; i < ACL_NUM(acl); i++)
		{
			Oid			grantee = items[i].ai_grantee;

			if ((ACLITEM_GET_PRIVS(items[i]) & ACL_CREATE) == 0 ||
				(grantee != ACL_ID_PUBLIC && is_trusted(grantee)))
				continue;
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 grantee == ACL_ID_PUBLIC ?
					 errmsg("everybody may create objects in schema \"%s\"",
							OMEN_SCHEMA) :
					 errmsg("role \"%s\" may create objects in schema \"%s\"",
							GetUserNameFromId(grantee, false), OMEN_SCHEMA),
					 errdetail("They could match calls of the extension's functions better than those do."),
					 errhint("REVOKE CREATE ON SCHEMA %s, and look at what is in it.",
							 OMEN_SCHEMA)));
		}
	}
	ReleaseSysCache(tup);

	depend = table_open(DependRelationId, AccessShareLock);
	ScanKeyInit(&key[0], Anum_pg_depend_refclassid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(NamespaceRelationId));
	ScanKeyInit(&key[1], Anum_pg_depend_refobjid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(schema));
	scan = systable_beginscan(depend, DependReferenceIndexId, true, NULL, 2,
							  key);
	while (HeapTupleIsValid(tup = systable_getnext(scan)))
	{
		Form_pg_depend dep = (Form_pg_depend) GETSTRUCT(tup);
		ObjectAddress object;
		Oid			objowner = owner_of(dep->classid, dep->objid);

		if (!OidIsValid(objowner) || is_trusted(objowner))
			continue;
		ObjectAddressSet(object, dep->classid, dep->objid);
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("%s in schema \"%s\" belongs to role \"%s\"",
						getObjectDescription(&object, false), OMEN_SCHEMA,
						GetUserNameFromId(objowner, false)),
				 errdetail("It could match calls of the extension's functions better than those do."),
				 errhint("Drop it, or move it to another schema.")));
	}
	systable_endscan(scan);
	table_close(depend, AccessShareLock);
}

/* ProcessUtility hook: CREATE EXTENSION omendb and ALTER EXTENSION ... UPDATE */
static void
extension_process_utility(PlannedStmt *pstmt, const char *queryString,
						  bool readOnlyTree, ProcessUtilityContext context,
						  ParamListInfo params, QueryEnvironment *queryEnv,
						  DestReceiver *dest, QueryCompletion *qc)
{
	Node	   *parsetree = pstmt->utilityStmt;

	/* whoever may not do it at all hears it from core */
	if (IsA(parsetree, CreateExtensionStmt) && superuser() &&
		strcmp(((CreateExtensionStmt *) parsetree)->extname,
			   OMEN_EXTENSION) == 0)
	{
		Oid			schema = get_namespace_oid(OMEN_SCHEMA, true);

		if (OidIsValid(schema) &&
			!OidIsValid(get_extension_oid(OMEN_EXTENSION, true)))
			ereport(ERROR,
					(errcode(ERRCODE_DUPLICATE_SCHEMA),
					 errmsg("schema \"%s\" already exists", OMEN_SCHEMA),
					 errdetail("It belongs to role \"%s\".",
							   GetUserNameFromId(owner_of(NamespaceRelationId,
														  schema), true)),
					 errhint("The extension makes the schema itself, so that nobody else can have put anything into it.  Drop or rename the one there is.")));
	}
	else if (IsA(parsetree, AlterExtensionStmt) &&
			 strcmp(((AlterExtensionStmt *) parsetree)->extname,
					OMEN_EXTENSION) == 0)
	{
		Oid			schema = get_namespace_oid(OMEN_SCHEMA, true);

		if (OidIsValid(schema) &&
			OidIsValid(get_extension_oid(OMEN_EXTENSION, true)))
			check_schema(schema);
	}

	prev_process_utility(pstmt, queryString, readOnlyTree, context, params,
						 queryEnv, dest, qc);
}

/* From _PG_init */
void
omen_extension_install_hooks(void)
{
	prev_process_utility = ProcessUtility_hook ? ProcessUtility_hook :
		standard_ProcessUtility;
	ProcessUtility_hook = extension_process_utility;
}
