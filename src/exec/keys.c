/*-------------------------------------------------------------------------
 *
 * keys.c
 *	  Groups by way of the dictionaries of columns.
 *
 * Where a segment has a dictionary of a column, each of its entries is looked up
 * once a segment, or once a row group if it shares them with its first segment, and
 * rows find their group by their code.  (Rows that are not in
 * the segment have codes that are theirs alone, looked up once.)
 *
 * With several keys, a column whose equal values are the same bytes is interned
 * first: groups of its own, which have no state, give each value an address that
 * stands for it as long as the pass lasts, and these addresses are what the
 * groups of rows have as their keys.  So rows are hashed and compared by
 * integers, and texts only where a segment has no dictionary.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "exec/agg.h"

#include "prefetch.h"
#include "utils/memutils.h"

struct OmenKeyCodes
{
	OmenGroups *groups;			/* of the column's values */
	AttrNumber	attno;
	MemoryContext mcxt;
	uint64		segment_number; /* what entries are of; 0 = none */
	uint64		group_number;	/* of all its segments the first nshared are */
	int			nshared;
	char	  **entries;		/* groups by code; NULL = not looked up yet */
	int			max_entries;

	/* entries that a batch is the first to need */
	int		   *codes;
	Datum	   *values;
	char	  **found;
};

/* From this number of entries on, a dictionary is large: many rows share none */
#define LARGE_DICTIONARY	(OMEN_BATCH_ROWS / 2)

/* In entries: it is among those to be looked up */
static char pending_entry;

/* See agg.h */
OmenKeyCodes *
omen_key_codes_create(OmenGroups *groups, AttrNumber attno)
{
	OmenKeyCodes *codes = palloc0(sizeof(OmenKeyCodes));

	codes->groups = groups;
	codes->attno = attno;
	codes->mcxt = CurrentMemoryContext;
	codes->codes = palloc(sizeof(int) * OMEN_BATCH_ROWS);
	codes->values = palloc(sizeof(Datum) * OMEN_BATCH_ROWS);
	codes->found = palloc(sizeof(char *) * OMEN_BATCH_ROWS);
	return codes;
}

/* See agg.h */
void
omen_key_codes_reset(OmenKeyCodes *codes)
{
	codes->segment_number = 0;
	codes->nshared = 0;
}

/* Make entries, of which n are a dictionary's, those of the batch's segment */
static void
begin_segment(OmenKeyCodes *codes, OmenBatch *batch, int n)
{
	int			nshared = omen_batch_shared_dictionary(batch, codes->attno);
	int			nkept = 0;

	if (codes->group_number == batch->group_number)
		nkept = Min(codes->nshared, nshared);
	if (n > codes->max_entries)
	{
		char	  **entries =
			MemoryContextAllocHuge(codes->mcxt, sizeof(char *) *
								   ((Size) n + OMEN_BATCH_ROWS));

		if (codes->entries)
		{
			memcpy(entries, codes->entries, sizeof(char *) * nkept);
			pfree(codes->entries);
		}
		codes->entries = entries;
		codes->max_entries = n;
	}
	memset(codes->entries + nkept, 0, sizeof(char *) * (n - nkept));
	codes->segment_number = batch->segment_number;
	codes->group_number = batch->group_number;
	codes->nshared = nshared;
}

/* Look up entries codes->codes[0 .. n - 1] */
static void
lookup_entries(OmenKeyCodes *codes, OmenBatch *batch, int n)
{
	OmenVec		vec = {codes->values, NULL};
	OmenVec    *keys = &vec;

	/* codes follow the order in which rows are the first to have the values */
	for (int i = 0, run; i < n; i += run)
	{
		run = 1;
		while (i + run < n && codes->codes[i + run] == codes->codes[i] + run)
			run++;
		omen_batch_dictionary_entries(batch, codes->attno, codes->codes[i],
									  run, &codes->values[i]);
	}
	omen_groups_lookup(codes->groups, &keys, NULL, n, codes->found);
	for (int i = 0; i < n; i++)
		codes->entries[codes->codes[i]] = codes->found[i];
}

/* See agg.h */
bool
omen_key_codes_lookup(OmenKeyCodes *codes, OmenBatch *batch,
					  const uint16 *sel, int nsel, char **found)
{
	AttrNumber	attno = codes->attno;
	OmenVector	vector;
	char	   *null_group = NULL;
	char	  **entries;
	const int64 *ints;
	int			nmissing = 0;
	int			nown;
	int			n;

	if (codes->groups->full)
		return false;
	n = omen_batch_dictionary(batch, attno);
	if (n == 0)
		return false;
	if (codes->segment_number != batch->segment_number)
		begin_segment(codes, batch, n);
	entries = codes->entries;

	nown = omen_batch_codes(batch, attno, &vector);
	memset(entries + n, 0, sizeof(char *) * nown);
	ints = vector.ints;
	if (vector.nnulls == 0)
	{
		/*
		 * Of a large dictionary, each batch is the first to need so many entries
		 * that nobody could predict a branch.
		 */
		if (n >= LARGE_DICTIONARY)
			for (int k = 0; k < nsel; k++)
			{
				int			code = (int) ints[sel ? sel[k] : k];
				char	   *entry = entries[code];
				bool		missing = entry == NULL;

				codes->codes[nmissing] = code;
				nmissing += missing;
				entries[code] = missing ? &pending_entry : entry;
			}
		else
			for (int k = 0; k < nsel; k++)
			{
				int			code = (int) ints[sel ? sel[k] : k];

				if (unlikely(entries[code] == NULL))
				{
					codes->codes[nmissing++] = code;
					entries[code] = &pending_entry;
				}
			}
		if (nmissing > 0)
			lookup_entries(codes, batch, nmissing);
		for (int k = 0; k < nsel; k++)
		{
			found[k] = entries[ints[sel ? sel[k] : k]];
			omen_prefetch(found[k]);
		}
		return true;
	}

	/* codes of nulls are arbitrary: they have no entry */
#define IS_NULL(i) \
	(vector.present == NULL || !((vector.present[(i) >> 3] >> ((i) & 7)) & 1))
	for (int k = 0; k < nsel; k++)
	{
		int			i = sel ? sel[k] : k;

		if (IS_NULL(i))
		{
			if (null_group == NULL)
			{
				Datum		value = (Datum) 0;
				bool		isnull = true;
				OmenVec		vec = {&value, &isnull};
				OmenVec    *keys = &vec;

				omen_groups_lookup(codes->groups, &keys, NULL, 1, &null_group);
			}
		}
		else if (unlikely(entries[ints[i]] == NULL))
		{
			codes->codes[nmissing++] = (int) ints[i];
			entries[ints[i]] = &pending_entry;
		}
	}
	if (nmissing > 0)
		lookup_entries(codes, batch, nmissing);
	for (int k = 0; k < nsel; k++)
	{
		int			i = sel ? sel[k] : k;

		found[k] = IS_NULL(i) ? null_group : entries[ints[i]];
	}
#undef IS_NULL
	return true;
}

/* ------------------------------------------------------------------------
 * Interned keys
 * ------------------------------------------------------------------------
 */

struct OmenInterned
{
	OmenGroups *values;			/* one key; a state is its number */
	OmenKeyCodes *codes;
	Datum	   *addresses;		/* of a batch's rows; key of the groups */
	char	  **found;
	OmenVec		vec;
};

/* See agg.h */
bool
omen_key_can_be_interned(const OmenKey *key, int32 typmod)
{
	return key->kind == OMEN_KEY_BYTES || key->kind == OMEN_KEY_FIXED ||
		(key->kind == OMEN_KEY_BPCHAR && typmod >= 0);
}

/* See agg.h */
OmenInterned *
omen_interned_create(const OmenKey *key, AttrNumber attno,
					 MemoryContext parent, Size limit)
{
	OmenInterned *interned = palloc0(sizeof(OmenInterned));
	OmenKey    *copy = palloc(sizeof(OmenKey));

	*copy = *key;
	interned->values = omen_groups_create(1, copy, sizeof(int64), parent,
										  limit);
	interned->codes = omen_key_codes_create(interned->values, attno);
	interned->addresses = palloc0(sizeof(Datum) * OMEN_BATCH_ROWS);
	interned->found = palloc(sizeof(char *) * OMEN_BATCH_ROWS);
	interned->vec.values = interned->addresses;
	return interned;
}

/* See agg.h */
void
omen_interned_reset(OmenInterned *interned)
{
	omen_groups_reset(interned->values);
	omen_key_codes_reset(interned->codes);
}

/* See agg.h */
Size
omen_interned_number_offset(const OmenInterned *interned)
{
	return interned->values->states_offset;
}

/* See agg.h */
Size
omen_interned_memory(const OmenInterned *interned)
{
	return omen_groups_memory(interned->values);
}

/* See agg.h */
OmenVec *
omen_interned_lookup(OmenInterned *interned, OmenExpr *expr,
					 OmenProgram *program, OmenBatch *batch,
					 const uint16 *sel, int nsel, bool full)
{
	OmenGroups *values = interned->values;
	int64		before = values->ngroups;

	values->full = full;
	if (!omen_key_codes_lookup(interned->codes, batch, sel, nsel,
							   interned->found))
	{
		OmenVec    *vec = omen_expr_eval(expr, program, batch, sel, nsel);

		omen_groups_lookup(values, &vec, sel, nsel, interned->found);
	}
	for (int64 n = before; n < values->ngroups; n++)
		*(int64 *) (omen_group(values, n) + values->states_offset) = n;
	for (int k = 0; k < nsel; k++)
		interned->addresses[sel ? sel[k] : k] =
			PointerGetDatum(interned->found[k]);
	return &interned->vec;
}

/* See agg.h */
Datum
omen_interned_value(const OmenInterned *interned, Datum address, bool *isnull)
{
	char	   *value = DatumGetPointer(address);

	*isnull = OmenGroupNulls(interned->values, value)[0];
	return OmenGroupKeys(value)[0];
}
