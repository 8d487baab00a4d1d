/*-------------------------------------------------------------------------
 *
 * syscolumns.c
 *	  Index scans that lose the headers of rows are not planned where they are
 *	  asked for.
 *
 * An index scan that returns rows by an ORDER BY operator may have to put some
 * aside, when the index knows only a bound of their distance.  The executor keeps
 * them as heap tuples, and gives them back through ExecForceStoreHeapTuple(),
 * which knows heapam's slot types only: with others it takes the tuple apart, and
 * the header is gone.  So where a query reads xmin, cmin, xmax or cmax, such scans
 * are left out of the table's paths, and another path sorts.  (ctid is lost with
 * heapam's slots, too.)
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "table/table.h"

#include "access/sysattr.h"
#include "access/table.h"
#include "optimizer/optimizer.h"
#include "optimizer/pathnode.h"
#include "optimizer/paths.h"
#include "utils/rel.h"

static set_rel_pathlist_hook_type prev_set_rel_pathlist = NULL;

static bool
is_ordered_by_operator(Path *path)
{
	return IsA(path, IndexPath) && ((IndexPath *) path)->indexorderbys != NIL;
}

/* Does the query read columns of the rows' headers? */
static bool
needs_header(RelOptInfo *rel)
{
	Bitmapset  *attrs = NULL;
	ListCell   *lc;

	pull_varattnos((Node *) rel->reltarget->exprs, rel->relid, &attrs);
	foreach(lc, rel->baserestrictinfo)
		pull_varattnos((Node *) lfirst_node(RestrictInfo, lc)->clause,
					   rel->relid, &attrs);
	foreach(lc, rel->joininfo)
		pull_varattnos((Node *) lfirst_node(RestrictInfo, lc)->clause,
					   rel->relid, &attrs);
	for (int attno = MaxCommandIdAttributeNumber;
		 attno <= MinTransactionIdAttributeNumber; attno++)
		if (bms_is_member(attno - FirstLowInvalidHeapAttributeNumber, attrs))
			return true;
	return false;
}

static bool
is_ours(Oid relid)
{
	Relation	rel = table_open(relid, NoLock);
	bool		result = omen_is_omendb_table(rel);

	table_close(rel, NoLock);
	return result;
}

static void
leave_out(List **paths)
{
	ListCell   *lc;

	foreach(lc, *paths)
	{
		if (is_ordered_by_operator((Path *) lfirst(lc)))
			*paths = foreach_delete_current(*paths, lc);
	}
}

/* set_rel_pathlist_hook */
static void
leave_out_ordered_scans(PlannerInfo *root, RelOptInfo *rel, Index rti,
						RangeTblEntry *rte)
{
	bool		any = false;
	ListCell   *lc;

	if (prev_set_rel_pathlist)
		prev_set_rel_pathlist(root, rel, rti, rte);

	foreach(lc, rel->pathlist)
		any |= is_ordered_by_operator((Path *) lfirst(lc));
	if (likely(!any) || rte->rtekind != RTE_RELATION || !needs_header(rel) ||
		!is_ours(rte->relid))
		return;
	leave_out(&rel->pathlist);
	leave_out(&rel->partial_pathlist);

	/* Make the others again: some were not kept beside those */
	foreach(lc, rel->indexlist)
		lfirst_node(IndexOptInfo, lc)->amcanorderbyop = false;
	add_path(rel, create_seqscan_path(root, rel, rel->lateral_relids, 0));
	create_index_paths(root, rel);
	(void) create_tidscan_paths(root, rel);
}

/* See table.h */
void
omen_syscolumns_install_hooks(void)
{
	prev_set_rel_pathlist = set_rel_pathlist_hook;
	set_rel_pathlist_hook = leave_out_ordered_scans;
}
