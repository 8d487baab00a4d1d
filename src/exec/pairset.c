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

#include "prefetch.h"

#define FIRST_SIZE		2048	/* slots: more than a batch's rows and a third */
#define ROWS_AT_ONCE	64

/* Is the table too full for so many pairs? */
#define IS_CROWDED(n, size) ((n) * 4 > (size) * 3)

StaticAssertDecl(FIRST_SIZE * 3 >= 4 * OMEN_BATCH_ROWS,
				 "a batch finds room");
StaticAssertDecl(FIRST_SIZE % ROWS_AT_ONCE == 0, "all slots are moved");
StaticAssertDecl(64 % sizeof(OmenPair) == 0, "pairs lie in one line each");

/* See OmenMoveSlots.  n is a multiple of ROWS_AT_ONCE. */
static void
move_pairs(const void *from, uint64 n, void *to, uint64 mask)
{
	const OmenPair *old = from;
	OmenPair   *table = to;

	for (uint64 start = 0; start < n; start += ROWS_AT_ONCE)
	{
		uint64		places[ROWS_AT_ONCE];

		for (int k = 0; k < ROWS_AT_ONCE; k++)
		{
			const OmenPair *pair = &old[start + k];

			places[k] = omen_pair_hash(pair->counter, pair->value) & mask;
			omen_prefetch_to_write(&table[places[k]]);
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
}

/*
 * Add the pairs of n rows to the set, which has room for all of them; or, if it is
 * full, list those that are not in it, by their place in sel.  Returns how many were
 * new, which have been counted, or are listed.
 */
static pg_attribute_always_inline int
add_rows(OmenSlots *set, const Datum *counters, const Datum *values,
		 const uint16 *sel, int start, int n, const bool full,
		 uint16 *missing)
{
	OmenPair   *table = set->slots;
	uint64		mask = set->size - 1;
	uint64		places[ROWS_AT_ONCE];
	int			count = 0;

	for (int k = 0; k < n; k++)
	{
		int			i = sel ? sel[start + k] : start + k;

		places[k] = omen_pair_hash((int64 *) DatumGetPointer(counters[i]),
								   values[i]) & mask;
		omen_prefetch_to_write(&table[places[k]]);
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
omen_pairset_count(OmenSlots *set, const Datum *counters,
				   const Datum *values, const uint16 *sel, int nsel,
				   uint16 *missing, int *nmissing)
{
	*nmissing = 0;
	for (int start = 0; start < nsel; start += ROWS_AT_ONCE)
	{
		int			n = Min(nsel - start, ROWS_AT_ONCE);

		if (!set->full && IS_CROWDED(set->used + n, set->size))
			(void) omen_slots_grow(set, FIRST_SIZE, sizeof(OmenPair),
								   move_pairs);
		if (set->full)
			*nmissing += add_rows(set, counters, values, sel, start, n, true,
								  missing + *nmissing);
		else
			set->used += add_rows(set, counters, values, sel, start, n,
								  false, NULL);
	}
}
