/*-------------------------------------------------------------------------
 *
 * pairset.c
 *	  A set of pairs of a counter and an integer: the values of each group that
 *	  count(DISTINCT x) has seen.
 *
 * As intset.c, but that a slot is a pair: one line of the processor's caches is
 * all that a row needs, where a table of groups leads to the group in another one.
 * A slot without counter is free.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "exec/agg.h"

#include "utils/memutils.h"

#define FIRST_SIZE		2048	/* slots: more than a batch's rows and a third */
#define ROWS_AT_ONCE	64

/* Is the table too full for so many pairs? */
#define IS_CROWDED(n, size) ((n) * 4 > (size) * 3)

struct OmenPair
{
	int64	   *counter;
	uint64		value;
};

StaticAssertDecl(FIRST_SIZE * 3 >= 4 * OMEN_BATCH_ROWS,
				 "a batch finds room");
StaticAssertDecl(64 % sizeof(OmenPair) == 0, "pairs lie in one line each");

/* See agg.h */
OmenPairSet *
omen_pairset_create(MemoryContext parent, Size limit)
{
	OmenPairSet *set = palloc0(sizeof(OmenPairSet));

	set->mcxt = AllocSetContextCreate(parent, "omendb set of pairs",
									  ALLOCSET_DEFAULT_SIZES);
	set->limit = limit;
	return set;
}

/* See agg.h */
void
omen_pairset_reset(OmenPairSet *set)
{
	MemoryContextReset(set->mcxt);
	set->table = NULL;
	set->size = 0;
	set->npairs = 0;
	set->full = false;
}

/* See agg.h */
Size
omen_pairset_memory(const OmenPairSet *set)
{
	return set->size * sizeof(OmenPair);
}

/* Make the table larger; false if that would take too much memory */
static bool
grow(OmenPairSet *set)
{
	uint64		size = set->table ? set->size * 2 : FIRST_SIZE;
	uint64		mask = size - 1;
	OmenPair   *old = set->table;
	void	   *old_chunk = set->chunk;
	OmenPair   *table;
	Size		unused = 0;

	/* for a while there are both of them */
	if (old != NULL && (size + set->size) * sizeof(OmenPair) > set->limit)
		return false;
	table = (OmenPair *) omen_large_alloc(set->mcxt, size * sizeof(OmenPair),
										  &set->chunk, &unused);
	memset(table, 0, size * sizeof(OmenPair));
	for (uint64 start = 0; start < set->size; start += ROWS_AT_ONCE)
	{
		uint64		places[ROWS_AT_ONCE];

		/* (both sizes are multiples of that) */
		for (int k = 0; k < ROWS_AT_ONCE; k++)
		{
			const OmenPair *pair = &old[start + k];

			places[k] = omen_pair_hash(pair->counter, pair->value) & mask;
			__builtin_prefetch(&table[places[k]], 1);
		}
		for (int k = 0; k < ROWS_AT_ONCE; k++)
		{
			uint64		at = places[k];

			if (old[start + k].counter == NULL)
				continue;
			while (table[at].counter != NULL)
				at = (at + 1) & mask;
			table[at] = old[start + k];
		}
	}
	if (old)
		pfree(old_chunk);
	set->table = table;
	set->size = size;
	return true;
}

/*
 * Add the pairs of n rows to the set, which has room for all of them; or, if it is
 * full, list those that are not in it, by their place in sel.  Returns how many were
 * new, which have been counted, or are listed.
 */
static pg_attribute_always_inline int
add_rows(OmenPairSet *set, const Datum *counters, const Datum *values,
		 const uint16 *sel, int start, int n, const bool full,
		 uint16 *missing)
{
	OmenPair   *table = set->table;
	uint64		mask = set->size - 1;
	uint64		places[ROWS_AT_ONCE];
	int			count = 0;

	for (int k = 0; k < n; k++)
	{
		int			i = sel ? sel[start + k] : start + k;

		places[k] = omen_pair_hash((int64 *) DatumGetPointer(counters[i]),
								   values[i]) & mask;
		__builtin_prefetch(&table[places[k]], 1);
	}
	for (int k = 0; k < n; k++)
	{
		int			i = sel ? sel[start + k] : start + k;
		int64	   *counter = (int64 *) DatumGetPointer(counters[i]);
		uint64		value = values[i];
		uint64		at = places[k];
		bool		is_new;

		while (table[at].counter != NULL &&
			   (table[at].counter != counter || table[at].value != value))
			at = (at + 1) & mask;
		is_new = table[at].counter == NULL;
		if (full)
		{
			if (is_new)
				missing[count++] = (uint16) (start + k);
		}
		else
		{
			/* no branch: nobody could predict which rows have a new one */
			count += is_new;
			*counter += is_new;
			table[at].counter = counter;
			table[at].value = value;
		}
	}
	return count;
}

/* See agg.h */
void
omen_pairset_count(OmenPairSet *set, const Datum *counters,
				   const Datum *values, const uint16 *sel, int nsel,
				   uint16 *missing, int *nmissing)
{
	*nmissing = 0;
	for (int start = 0; start < nsel; start += ROWS_AT_ONCE)
	{
		int			n = Min(nsel - start, ROWS_AT_ONCE);

		if (!set->full && IS_CROWDED(set->npairs + n, set->size) &&
			!grow(set))
			set->full = true;
		if (set->full)
			*nmissing += add_rows(set, counters, values, sel, start, n, true,
								  missing + *nmissing);
		else
			set->npairs += add_rows(set, counters, values, sel, start, n,
									false, NULL);
	}
}
