/*-------------------------------------------------------------------------
 *
 * node.c
 *	  What the custom scan nodes share: settings, set-up, EXPLAIN.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "exec/node.h"

#include "compat_explain.h"
#include "exec/exec.h"
#include "nodes/makefuncs.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/ruleutils.h"

int			omen_vectorized_scan = OMEN_VECTORIZE_ON;
int			omen_vectorized_agg = OMEN_VECTORIZE_ON;

/* Booleans as PostgreSQL's other enable_* settings, and what tests need */
static const struct config_enum_entry vectorize_options[] = {
	{"off", OMEN_VECTORIZE_OFF, false},
	{"on", OMEN_VECTORIZE_ON, false},
	{"force", OMEN_VECTORIZE_FORCE, false},
	{"false", OMEN_VECTORIZE_OFF, true},
	{"no", OMEN_VECTORIZE_OFF, true},
	{"0", OMEN_VECTORIZE_OFF, true},
	{"true", OMEN_VECTORIZE_ON, true},
	{"yes", OMEN_VECTORIZE_ON, true},
	{"1", OMEN_VECTORIZE_ON, true},
	{NULL, 0, false}
};

/* See exec.h */
void
omen_exec_define_settings(void)
{
	DefineCustomEnumVariable("omendb.enable_vectorized_scan",
							 "Enables the planner's use of vectorized scans of omendb tables.",
							 "force uses them wherever they are possible (for tests).",
							 &omen_vectorized_scan, OMEN_VECTORIZE_ON,
							 vectorize_options,
							 PGC_USERSET, GUC_EXPLAIN,
							 NULL, NULL, NULL);
	DefineCustomEnumVariable("omendb.enable_vectorized_agg",
							 "Enables the planner's use of vectorized aggregation of omendb tables.",
							 "force uses it wherever it is possible (for tests).",
							 &omen_vectorized_agg, OMEN_VECTORIZE_ON,
							 vectorize_options,
							 PGC_USERSET, GUC_EXPLAIN,
							 NULL, NULL, NULL);
}

/* See exec.h */
void
omen_exec_install_hooks(void)
{
	RegisterCustomScanMethods(&omen_vecscan_plan_methods);
	RegisterCustomScanMethods(&omen_vecagg_plan_methods);
	omen_plan_install_hooks();
}

/* See node.h */
void
omen_add_counters(OmenSourceCounters *total,
				  const OmenSourceCounters *counters)
{
	total->groups += counters->groups;
	total->segments += counters->segments;
	total->segments_skipped += counters->segments_skipped;
	total->vectors += counters->vectors;
	total->vectors_skipped += counters->vectors_skipped;
	total->rows_cold += counters->rows_cold;
	total->rows_thawed += counters->rows_thawed;
	total->rows_hot += counters->rows_hot;
	total->chunks.hits += counters->chunks.hits;
	total->chunks.loads += counters->chunks.loads;
	total->chunks.load_bytes += counters->chunks.load_bytes;
}

/* ------------------------------------------------------------------------
 * EXPLAIN
 * ------------------------------------------------------------------------
 */

static List *
deparse_context(CustomScanState *node, List *ancestors, ExplainState *es)
{
	return set_deparse_context_plan(es->deparse_cxt, node->ss.ps.plan,
									ancestors);
}

/* See node.h */
void
omen_explain_quals(const char *label, List *quals, CustomScanState *node,
				   List *ancestors, ExplainState *es)
{
	bool		prefix = list_length(es->rtable) > 1 || es->verbose;
	Expr	   *expr = make_ands_explicit(quals);

	ExplainPropertyText(label,
						deparse_expression((Node *) expr,
										   deparse_context(node, ancestors, es),
										   prefix, false), es);
}

/* See node.h */
void
omen_explain_keys(const char *label, List *keys, CustomScanState *node,
				  List *ancestors, ExplainState *es)
{
	bool		prefix = list_length(es->rtable) > 1 || es->verbose;
	List	   *context = deparse_context(node, ancestors, es);
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, keys)
		result = lappend(result,
						 deparse_expression((Node *) lfirst(lc), context,
											prefix, true));
	ExplainPropertyList(label, result, es);
}

/* See node.h */
void
omen_explain_columns(Relation rel, Bitmapset *attrs, ExplainState *es)
{
	TupleDesc	tupdesc = RelationGetDescr(rel);
	List	   *names = NIL;
	int			attno = -1;

	if (!es->analyze && !es->verbose)
		return;
	while ((attno = bms_next_member(attrs, attno)) >= 0)
		names = lappend(names,
						(char *) quote_identifier(NameStr(TupleDescAttr(tupdesc,
																		attno - 1)->attname)));
	if (names != NIL)
		ExplainPropertyList("Columns", names, es);
}

/* See node.h */
void
omen_explain_counters(const OmenSourceCounters *counters, ExplainState *es)
{
	if (es->format == EXPLAIN_FORMAT_TEXT)
	{
		if (counters->groups > 0)
		{
			appendStringInfoSpaces(es->str, es->indent * 2);
			appendStringInfo(es->str,
							 "Row Groups: " UINT64_FORMAT "  Segments: read=" UINT64_FORMAT " skipped=" UINT64_FORMAT "  Vectors: read=" UINT64_FORMAT " skipped=" UINT64_FORMAT "\n",
							 counters->groups,
							 counters->segments - counters->segments_skipped,
							 counters->segments_skipped,
							 counters->vectors, counters->vectors_skipped);
		}
		appendStringInfoSpaces(es->str, es->indent * 2);
		appendStringInfo(es->str,
						 "Rows: cold=" UINT64_FORMAT " thawed=" UINT64_FORMAT " hot=" UINT64_FORMAT "\n",
						 counters->rows_cold, counters->rows_thawed,
						 counters->rows_hot);
		if (es->buffers && counters->chunks.hits + counters->chunks.loads > 0)
		{
			appendStringInfoSpaces(es->str, es->indent * 2);
			appendStringInfo(es->str,
							 "Chunks: hit=" UINT64_FORMAT " loaded=" UINT64_FORMAT " (" UINT64_FORMAT "kB)\n",
							 counters->chunks.hits, counters->chunks.loads,
							 (counters->chunks.load_bytes + 1023) / 1024);
		}
		return;
	}
	ExplainPropertyUInteger("Row Groups", NULL, counters->groups, es);
	ExplainPropertyUInteger("Segments Read", NULL,
							counters->segments - counters->segments_skipped,
							es);
	ExplainPropertyUInteger("Segments Skipped", NULL,
							counters->segments_skipped, es);
	ExplainPropertyUInteger("Vectors Read", NULL, counters->vectors, es);
	ExplainPropertyUInteger("Vectors Skipped", NULL,
							counters->vectors_skipped, es);
	ExplainPropertyUInteger("Cold Rows", NULL, counters->rows_cold, es);
	ExplainPropertyUInteger("Thawed Rows", NULL, counters->rows_thawed, es);
	ExplainPropertyUInteger("Hot Rows", NULL, counters->rows_hot, es);
	if (es->buffers)
	{
		ExplainPropertyUInteger("Chunk Hits", NULL, counters->chunks.hits, es);
		ExplainPropertyUInteger("Chunk Loads", NULL, counters->chunks.loads,
								es);
		ExplainPropertyUInteger("Chunk Bytes Loaded", NULL,
								counters->chunks.load_bytes, es);
	}
}
