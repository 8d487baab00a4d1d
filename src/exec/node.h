/*-------------------------------------------------------------------------
 *
 * node.h
 *	  The custom scan nodes: what planner and executor share.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#ifndef OMENDB_NODE_H
#define OMENDB_NODE_H

#include "exec/batch.h"
#include "exec/expr.h"
#include "nodes/extensible.h"
#include "nodes/pathnodes.h"

/* Settings */
typedef enum OmenVectorize
{
	OMEN_VECTORIZE_OFF,
	OMEN_VECTORIZE_ON,			/* where it is cheaper */
	OMEN_VECTORIZE_FORCE		/* wherever it is legal (for tests) */
} OmenVectorize;

extern int	omen_vectorized_scan;
extern int	omen_vectorized_agg;

/*
 * vecscan.c: "OmendbVectorScan".  scanrelid is the table's, the scan tuple its
 * row type, of which only columns that somebody needs are set.  custom_exprs:
 * the conditions that are evaluated on vectors; all others are in plan.qual.
 * custom_private: OMEN_SCAN_* below.
 */
extern const CustomPathMethods omen_vecscan_path_methods;
extern const CustomScanMethods omen_vecscan_plan_methods;

/*
 * vecagg.c: "OmendbVectorAgg", a scan with aggregation.  scanrelid is 0.
 * custom_scan_tlist: group keys, aggregates, and at the end a row of
 * tableoid, which tells the table, and the conditions on the table's rows.  (As
 * expressions of their own, setrefs.c would take them for columns of the scan
 * tuple wherever the query has the same condition above the aggregation.)  plan.qual
 * is HAVING.  custom_private: OMEN_AGG_* below.  custom_exprs: parameters of
 * what is in custom_scan_tlist, so that PostgreSQL knows of them.
 */
extern const CustomPathMethods omen_vecagg_path_methods;
extern const CustomScanMethods omen_vecagg_plan_methods;

enum
{
	OMEN_SCAN_TOPN,				/* list of OMEN_TOPN_*, or NIL */
	OMEN_SCAN_HIDES				/* Integer: do not tell what was removed */
};

/* Of a node below ORDER BY ... LIMIT (topn.h): Integers */
enum
{
	OMEN_TOPN_ATTNO,
	OMEN_TOPN_KIND,
	OMEN_TOPN_DESC,
	OMEN_TOPN_NULLS_FIRST,
	OMEN_TOPN_LIMIT
};

enum
{
	OMEN_AGG_NKEYS,				/* Integer */
	OMEN_AGG_NAGGS,				/* Integer */
	OMEN_AGG_EQOPS,				/* OID list, of the keys */
	OMEN_AGG_HIDES,				/* as OMEN_SCAN_HIDES */
	OMEN_AGG_TOPN				/* as OMEN_SCAN_TOPN; a position in
								 * custom_scan_tlist is its attribute */
};

/* plan.c */
extern void omen_plan_install_hooks(void);

/* For EXPLAIN (node.c) */
struct ExplainState;
/* exprs: conditions, all of which have to be met, or a list of keys */
extern void omen_explain_quals(const char *label, List *quals,
							   CustomScanState *node, List *ancestors,
							   struct ExplainState *es);
extern void omen_explain_keys(const char *label, List *keys,
							  CustomScanState *node, List *ancestors,
							  struct ExplainState *es);
extern void omen_explain_columns(Relation rel, Bitmapset *attrs,
								 struct ExplainState *es);
extern void omen_explain_counters(const OmenSourceCounters *counters,
								  struct ExplainState *es);
extern void omen_add_counters(OmenSourceCounters *total,
							  const OmenSourceCounters *counters);

#endif							/* OMENDB_NODE_H */
