/*-------------------------------------------------------------------------
 *
 * intset.c
 *	  A set of integers: the values that count(DISTINCT x) has seen.
 *
 * Open addressing with linear probing, and nothing in it but the values: of a
 * few hundred thousand of them most of the table stays in the processor's caches.
 * What does not is asked for some rows ahead.  0 marks a free slot, so whether it
 * is in the set is kept beside the table.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "exec/agg.h"

#include "prefetch.h"

#define FIRST_SIZE		2048	/* slots: more than twice a batch's rows */
#define ROWS_AT_ONCE	64

StaticAssertDecl(FIRST_SIZE >= 2 * OMEN_BATCH_ROWS, "a batch finds room");

/* See agg.h */
OmenIntSet *
omen_intset_create(MemoryContext parent, Size limit)
{
	OmenIntSet *set = palloc0(sizeof(OmenIntSet));

	omen_slots_init(&set->slots, parent, limit);
	return set;
}

/* See agg.h */
void
omen_intset_reset(OmenIntSet *set)
{
	omen_slots_reset(&set->slots);
	set->has_zero = false;
}

/* See OmenMoveSlots */
static void
move_integers(const void *from, uint64 n, void *to, uint64 mask)
{
	const uint64 *old = from;
	uint64	   *table = to;

	for (uint64 s = 0; s < n; s++)
	{
		uint64		at;

		if (old[s] == 0)
			continue;
		at = omen_hash_int(old[s]) & mask;
		while (table[at] != 0)
			at = (at + 1) & mask;
		table[at] = old[s];
	}
}

/*
 * Add the values of n rows to the set, which has room for all of them; or, if it
 * is full, list those that are not in it, by their place in sel.  Returns how many
 * were new, or are listed.
 */
static pg_attribute_always_inline int
add_rows(OmenIntSet *set, const Datum *values, const uint16 *sel, int start,
		 int n, const bool full, uint16 *missing)
{
	uint64	   *table = set->slots.slots;
	uint64		mask = set->slots.size - 1;
	uint64		places[ROWS_AT_ONCE];
	int			count = 0;
	int			used = 0;

	for (int k = 0; k < n; k++)
	{
		uint64		value = values[sel ? sel[start + k] : start + k];

		places[k] = omen_hash_int(value) & mask;
		omen_prefetch_to_write(&table[places[k]]);
	}
	for (int k = 0; k < n; k++)
	{
		uint64		value = values[sel ? sel[start + k] : start + k];
		uint64		at = places[k];

		if (unlikely(value == 0))
		{
			if (!set->has_zero && full)
				missing[count++] = (uint16) (start + k);
			else if (!set->has_zero)
			{
				set->has_zero = true;
				count++;
			}
			continue;
		}
		while (table[at] != value && table[at] != 0)
			at = (at + 1) & mask;
		if (full)
		{
			if (table[at] == 0)
				missing[count++] = (uint16) (start + k);
		}
		else
		{
			/* no branch: nobody could predict which rows have a new one */
			used += table[at] == 0;
			table[at] = value;
		}
	}
	set->slots.used += used;
	return count + used;
}

/* See agg.h */
int64
omen_intset_add(OmenIntSet *set, const Datum *values, const uint16 *sel,
				int nsel, uint16 *missing, int *nmissing)
{
	OmenSlots  *slots = &set->slots;
	int64		added = 0;

	*nmissing = 0;
	for (int start = 0; start < nsel; start += ROWS_AT_ONCE)
	{
		int			n = Min(nsel - start, ROWS_AT_ONCE);

		if (!slots->full && (slots->used + n) * 2 > slots->size)
			(void) omen_slots_grow(slots, FIRST_SIZE, sizeof(uint64),
								   move_integers);
		if (slots->full)
			*nmissing += add_rows(set, values, sel, start, n, true,
								  missing + *nmissing);
		else
			added += add_rows(set, values, sel, start, n, false, NULL);
	}
	return added;
}
