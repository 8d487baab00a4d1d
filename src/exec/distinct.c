/*-------------------------------------------------------------------------
 *
 * distinct.c
 *	  count(DISTINCT x): which values have been seen.
 *
 * The values of all groups are in one hash table, whose keys are the group (the
 * address of its counter) and the value.  Integers are in a set that has nothing
 * else (pairset.c), and without groups nothing but them (intset.c).  When it has used up its memory, rows
 * of values that are not in it go to files by their hash, and are counted file
 * by file once all rows of the pass have been seen: see spill.c.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "exec/agg.h"

#include "catalog/pg_type.h"
#include "exec/spill.h"
#include "executor/nodeHash.h"
#include "utils/memutils.h"

struct OmenDistinct
{
	MemoryContext mcxt;			/* as long as the node */
	OmenGroups *seen;			/* groups of (counter, value), or of values */
	OmenIntSet *ints;			/* or the values, if not NULL */
	OmenSlots  *pairs;			/* or counters and values, if not NULL */
	int			first;			/* of columns that is a key of these */
	int64	   *counter;		/* if there is one only, that */
	OmenKeyCodes *codes;		/* of a column, with one counter; or NULL */
	OmenBatch	batch;			/* of counters and values, to put rows aside */
	OmenVec		columns[2];
	uint8		loaded[2];
	uint16	   *rows;			/* those that are not null */
	char	  **found;
	OmenSpill  *spill;			/* or NULL */
	TupleDesc	tupdesc;
};

/* See agg.h */
OmenDistinct *
omen_distinct_create(Oid type, Oid eqop, Oid collation, bool grouped,
					 AttrNumber attno)
{
	OmenDistinct *distinct = palloc0(sizeof(OmenDistinct));
	OmenKey    *keys = palloc0(sizeof(OmenKey) * 2);

	distinct->mcxt = CurrentMemoryContext;
	keys[0].kind = OMEN_KEY_INT;
	keys[0].typlen = sizeof(Datum);
	keys[0].typbyval = true;
	if (!omen_key_init(&keys[1], type, eqop, collation))
		elog(ERROR, "values of type %u cannot be told apart on vectors", type);
	distinct->first = grouped ? 0 : 1;
	if (grouped && keys[1].kind == OMEN_KEY_INT)
	{
		distinct->pairs = palloc(sizeof(OmenSlots));
		omen_slots_init(distinct->pairs, CurrentMemoryContext,
						get_hash_memory_limit());
	}
	if (!grouped && keys[1].kind == OMEN_KEY_INT)
		distinct->ints = omen_intset_create(CurrentMemoryContext,
											get_hash_memory_limit());
	distinct->seen = omen_groups_create(2 - distinct->first,
										keys + distinct->first, 0,
										CurrentMemoryContext,
										get_hash_memory_limit());
	if (!grouped && attno > 0 && !keys[1].typbyval)
		distinct->codes = omen_key_codes_create(distinct->seen, attno);
	distinct->tupdesc = CreateTemplateTupleDesc(2);
	TupleDescInitEntry(distinct->tupdesc, 1, "counter", INT8OID, -1, 0);
	TupleDescInitEntry(distinct->tupdesc, 2, "value", type, -1, 0);
	distinct->columns[0].values = palloc(sizeof(Datum) * OMEN_BATCH_ROWS);
	distinct->batch.columns = distinct->columns;
	distinct->batch.loaded = distinct->loaded;
	distinct->rows = palloc(sizeof(uint16) * OMEN_BATCH_ROWS);
	distinct->found = palloc(sizeof(char *) * OMEN_BATCH_ROWS);
	return distinct;
}

/* See agg.h */
void
omen_distinct_limit(OmenDistinct *distinct, Size limit)
{
	distinct->seen->limit = limit;
	if (distinct->ints)
		distinct->ints->slots.limit = limit;
	if (distinct->pairs)
		distinct->pairs->limit = limit;
}

/* See agg.h */
Size
omen_distinct_memory(const OmenDistinct *distinct)
{
	if (distinct->ints)
		return distinct->ints->slots.size * sizeof(uint64);
	if (distinct->pairs)
		return distinct->pairs->size * sizeof(OmenPair);
	return omen_groups_memory(distinct->seen);
}

/* Count the values that are new since there were so many */
static void
count_new(OmenDistinct *distinct, int64 before)
{
	OmenGroups *seen = distinct->seen;

	for (int64 g = before; g < seen->ngroups; g++)
	{
		char	   *value = omen_group(seen, g);

		if (distinct->first == 0)
			(*(int64 *) DatumGetPointer(OmenGroupKeys(value)[0]))++;
		else
			*distinct->counter += !OmenGroupNulls(seen, value)[0];
	}
}

/* Before rows of distinct->columns are put aside */
static void
prepare_spill(OmenDistinct *distinct)
{
	if (distinct->spill == NULL)
	{
		Bitmapset  *attrs = bms_add_range(NULL, distinct->first + 1, 2);

		distinct->spill = omen_spill_create(distinct->tupdesc, attrs,
											distinct->mcxt);
		distinct->loaded[0] = distinct->loaded[1] = OMEN_COLUMN_LOADED;
		bms_free(attrs);
	}
	omen_spill_prepare(distinct->spill, &distinct->batch);
}

/* Count rows of distinct->columns, none of which is null, by way of a set */
static void
count_ints(OmenDistinct *distinct, const uint16 *sel, int nsel)
{
	const Datum *values = distinct->columns[1].values;
	uint16		missing[OMEN_BATCH_ROWS];
	int			nmissing;

	if (distinct->pairs)
		omen_pairset_count(distinct->pairs, distinct->columns[0].values,
						   values, sel, nsel, missing, &nmissing);
	else
		*distinct->counter += omen_intset_add(distinct->ints, values, sel,
											  nsel, missing, &nmissing);
	if (nmissing == 0)
		return;
	prepare_spill(distinct);
	for (int j = 0; j < nmissing; j++)
	{
		int			i = sel ? sel[missing[j]] : missing[j];

		omen_spill_row(distinct->spill, &distinct->batch, i,
					   distinct->pairs ?
					   omen_pair_hash((int64 *) DatumGetPointer(distinct->columns[0].values[i]),
									  values[i]) : omen_hash_int(values[i]));
	}
}

/* Count rows of distinct->columns */
static void
count_rows(OmenDistinct *distinct, const uint16 *sel, int nsel)
{
	OmenGroups *seen = distinct->seen;
	OmenVec    *keys[2] = {&distinct->columns[0], &distinct->columns[1]};
	int64		before = seen->ngroups;

	if (distinct->ints || distinct->pairs)
	{
		count_ints(distinct, sel, nsel);
		return;
	}
	omen_groups_lookup(seen, keys + distinct->first, sel, nsel,
					   distinct->found);
	count_new(distinct, before);

	if (seen->full)
	{
		prepare_spill(distinct);
		for (int k = 0; k < nsel; k++)
			if (distinct->found[k] == NULL)
				omen_spill_row(distinct->spill, &distinct->batch,
							   sel ? sel[k] : k, seen->hashes[k]);
	}
	omen_groups_check_limit(seen, 0);
}

/* See agg.h */
bool
omen_distinct_advance_codes(OmenDistinct *distinct, OmenBatch *batch,
							Size offset, const uint16 *sel, int nsel,
							char *single)
{
	int64		before = distinct->seen->ngroups;

	if (distinct->codes == NULL || nsel == 0 ||
		!omen_key_codes_lookup(distinct->codes, batch, sel, nsel,
							   distinct->found))
		return false;
	distinct->counter = (int64 *) (single + offset);
	count_new(distinct, before);
	omen_groups_check_limit(distinct->seen, 0);
	return true;
}

/* See agg.h */
void
omen_distinct_advance(OmenDistinct *distinct, const OmenVec *values,
					  Size offset, const uint16 *sel, int nsel, char **groups,
					  char *single)
{
	Datum	   *counters = distinct->columns[0].values;
	int			n = 0;

	if (distinct->first > 0)
	{
		distinct->counter = (int64 *) (single + offset);
		if (values->isnull == NULL)
		{
			distinct->columns[1] = *values;
			count_rows(distinct, sel, nsel);
			return;
		}
	}
	for (int k = 0; k < nsel; k++)
	{
		int			i = sel ? sel[k] : k;

		if (values->isnull && values->isnull[i])
			continue;
		if (groups)
			counters[i] = PointerGetDatum(groups[k] + offset);
		distinct->rows[n++] = i;
	}
	if (n == 0)
		return;
	distinct->columns[0].isnull = NULL;
	distinct->columns[1].values = values->values;
	distinct->columns[1].isnull = NULL;
	count_rows(distinct, distinct->rows, n);
}

static void
forget_values(OmenDistinct *distinct)
{
	omen_groups_reset(distinct->seen);
	if (distinct->ints)
		omen_intset_reset(distinct->ints);
	if (distinct->pairs)
		omen_slots_reset(distinct->pairs);
}

/* See agg.h */
void
omen_distinct_finish(OmenDistinct *distinct)
{
	Datum	   *counters = distinct->columns[0].values;

	if (distinct->spill)
	{
		while (omen_spill_next_file(distinct->spill))
		{
			forget_values(distinct);
			while (omen_spill_next_batch(distinct->spill, &distinct->batch))
				count_rows(distinct, NULL, (int) distinct->batch.nrows);
		}
		distinct->columns[0].values = counters;
	}
	omen_distinct_reset(distinct);
}

/* See agg.h */
void
omen_distinct_reset(OmenDistinct *distinct)
{
	if (distinct->spill)
		omen_spill_end(distinct->spill);
	distinct->spill = NULL;
	forget_values(distinct);
	if (distinct->codes)
		omen_key_codes_reset(distinct->codes);
}
