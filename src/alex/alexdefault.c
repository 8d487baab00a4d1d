/*-------------------------------------------------------------------------
 *
 * alexdefault.c
 *	  CREATE INDEX that makes an alex index without being told to.
 *
 * With omendb.alex_default, statements that name no access method do, if their
 * keys allow it.  Constraints do not: nothing would say so in a dump, which
 * has PRIMARY KEY and UNIQUE without an access method, and pg_upgrade would put
 * an alex index's file in the place of a btree.
 *
 * With omendb.alex_replaces_btree, for tests, those that name btree do, too.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "alex/alex.h"

#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "commands/defrem.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "nodes/parsenodes.h"
#include "parser/parse_utilcmd.h"
#include "storage/lmgr.h"
#include "utils/lsyscache.h"

bool		alex_default = false;
bool		alex_replaces_btree = false;

/*
 * The next word of a statement from *pos on, without regard to case: its
 * length, with *pos at its beginning.  0 at an opening parenthesis or the end.
 * Comments, quoted names and strings are no words.
 */
static int
next_word(const char *text, int len, int *pos)
{
	int			i = *pos;

	while (i < len)
	{
		char		c = text[i];

		if (c == '(')
			return 0;
		if (c == '-' && i + 1 < len && text[i + 1] == '-')
		{
			while (i < len && text[i] != '\n' && text[i] != '\r')
				i++;
		}
		else if (c == '/' && i + 1 < len && text[i + 1] == '*')
		{
			int			depth = 0;

			do
			{
				if (i + 1 < len && text[i] == '/' && text[i + 1] == '*')
				{
					depth++;
					i += 2;
				}
				else if (i + 1 < len && text[i] == '*' && text[i + 1] == '/')
				{
					depth--;
					i += 2;
				}
				else
					i++;
			} while (depth > 0 && i < len);
		}
		else if (c == '"' || c == '\'')
		{
			/* a doubled quote ends one and begins another */
			for (i++; i < len && text[i] != c;)
				i++;
			i++;
		}
		else if (isalpha((unsigned char) c) || c == '_' ||
				 IS_HIGHBIT_SET(c))
		{
			int			end = i + 1;

			while (end < len && (isalnum((unsigned char) text[end]) ||
								 text[end] == '_' || text[end] == '$' ||
								 IS_HIGHBIT_SET(text[end])))
				end++;
			*pos = i;
			return end - i;
		}
		else
			i++;
	}
	return 0;
}

/*
 * Is that the text of a CREATE INDEX that names no access method?  The parser
 * puts btree into both kinds of tree.  USING is a reserved word, so between
 * CREATE INDEX and the keys' parenthesis it can be nothing else.  What
 * commands derive from other texts (LIKE ... INCLUDING INDEXES, say) is not.
 */
static bool
names_no_method(PlannedStmt *pstmt, const char *queryString)
{
	int			begin = Max(pstmt->stmt_location, 0);
	int			len = (int) strlen(queryString);
	int			pos = 0;
	int			n;
	const char *text;
	bool		index = false;

	if (begin > len)
		return false;
	text = queryString + begin;
	len = pstmt->stmt_len > 0 ? Min(pstmt->stmt_len, len - begin) :
		len - begin;

	for (int i = 0; (n = next_word(text, len, &pos)) > 0; i++, pos += n)
	{
		if (!index)
		{
			/* CREATE [UNIQUE] INDEX */
			if (i == 0 ? n != 6 || pg_strncasecmp(text + pos, "create", n) != 0 :
				n != 5 || pg_strncasecmp(text + pos, "index", n) != 0)
			{
				if (i != 1 || n != 6 ||
					pg_strncasecmp(text + pos, "unique", n) != 0)
					return false;
			}
			else
				index = i > 0;
		}
		else if (n == 5 && pg_strncasecmp(text + pos, "using", n) == 0)
			return false;
	}
	return index;
}

/*
 * Could alex index what this statement wants a btree for?  Anything that is
 * special to btree is left alone: constraints, operator classes, its storage
 * parameters, unique indexes of partitioned tables and of materialized views,
 * and indexes of the system's own tables.
 */
static bool
can_replace(IndexStmt *stmt, const char *queryString)
{
	Oid			alex = get_index_am_oid("alex", true);
	IndexStmt  *copy = NULL;
	Oid			relid;
	char		relkind;
	ListCell   *lc;

	if (strcmp(stmt->accessMethod, "btree") != 0 || stmt->primary ||
		stmt->isconstraint || stmt->relation == NULL ||
		OidIsValid(stmt->indexOid) || OidIsValid(stmt->oldNumber) ||
		!OidIsValid(alex))
		return false;
	foreach(lc, stmt->options)
	{
		DefElem    *option = lfirst_node(DefElem, lc);

		if (strcmp(option->defname, "fillfactor") != 0 ||
			option->arg == NULL || !IsA(option->arg, Integer) ||
			intVal(option->arg) < ALEX_MIN_FILLFACTOR ||
			intVal(option->arg) > 100)
			return false;
	}
	relid = RangeVarGetRelid(stmt->relation, NoLock, true);
	if (!OidIsValid(relid))
		return false;
	if (relid < FirstNormalObjectId)
		return false;
	relkind = get_rel_relkind(relid);

	/* a partition's may become part of the parent's; REFRESH CONCURRENTLY */
	if (stmt->unique && (relkind != RELKIND_RELATION ||
						 get_rel_relispartition(relid)))
		return false;
	foreach(lc, stmt->indexParams)
	{
		IndexElem  *elem = lfirst_node(IndexElem, lc);
		Oid			type = InvalidOid;

		if (elem->opclass != NIL || elem->opclassopts != NIL)
			return false;
		if (elem->name != NULL)
		{
			AttrNumber	attno = get_attnum(relid, elem->name);

			if (attno != InvalidAttrNumber)
				type = get_atttype(relid, attno);
		}
		else
		{
			/* what the expression's type is takes parse analysis to know */
			if (relkind != RELKIND_RELATION && relkind != RELKIND_MATVIEW &&
				relkind != RELKIND_PARTITIONED_TABLE)
				return false;
			if (copy == NULL)
			{
				LockRelationOid(relid, AccessShareLock);
				copy = transformIndexStmt(relid, copyObject(stmt),
										  queryString);
				UnlockRelationOid(relid, AccessShareLock);
			}
			elem = list_nth_node(IndexElem, copy->indexParams,
								 foreach_current_index(lc));
			if (elem->expr)
				type = exprType(elem->expr);
		}
		if (!OidIsValid(type) || !OidIsValid(GetDefaultOpClass(type, alex)))
			return false;
	}
	return true;
}

/* Is that CREATE INDEX for btree to make an alex index instead? */
bool
alex_makes_index(PlannedStmt *pstmt, const char *queryString)
{
	IndexStmt  *stmt = (IndexStmt *) pstmt->utilityStmt;

	/* an extension's script knows what it wants, a dump too */
	if (!alex_replaces_btree &&
		(!alex_default || creating_extension || IsBinaryUpgrade ||
		 queryString == NULL || !names_no_method(pstmt, queryString)))
		return false;
	return can_replace(stmt, queryString);
}
