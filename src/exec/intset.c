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

#include "utils/memutils.h"

#define FIRST_SIZE		2048	/* slots: more than twice a batch's rows */
#define ROWS_AT_ONCE	64

StaticAssertDecl(FIRST_SIZE >= 2 * OMEN_BATCH_ROWS, "a batch finds room");

/* See agg.h */
OmenIntSet *
omen_intset_create(MemoryContext parent, Size limit)
{
	OmenIntSet *set = palloc0(sizeof(OmenIntSet));

	set->mcxt = AllocSetContextCreate(parent, "omendb set of integers",
									  ALLOCSET_DEFAULT_SIZES);
	set->limit = limit;
	return set;
}

/* See agg.h */
void
omen_intset_reset(OmenIntSet *set)
{
	MemoryContextReset(set->mcxt);
	set->table = NULL;
	set->size = 0;
	set->nslots_used = 0;
	set->has_zero = false;
	set->full = false;
}

/* Make the table larger; false if that would take too much memory */
static bool
grow(OmenIntSet *set)
{
	uint64		size = set->table ? set->size * 2 : FIRST_SIZE;
	uint64		mask = size - 1;
	uint64	   *old = set->table;
	void	   *old_chunk = set->chunk;
	uint64	   *table;
	Size		unused = 0;

	/* for a while there are both of them */
	if (old != NULL && (size + set->size) * sizeof(uint64) > set->limit)
		return false;
	table = (uint64 *) omen_large_alloc(set->mcxt, size * sizeof(uint64),
										&set->chunk, &unused);
	memset(table, 0, size * sizeof(uint64));
	for (uint64 s = 0; s < set->size; s++)
	{
		uint64		at;

		if (old[s] == 0)
			continue;
		at = omen_hash_int(old[s]) & mask;
		while (table[at] != 0)
			at = (at + 1) & mask;
		table[at] = old[s];
	}
	if (old)
		pfree(old_chunk);
	set->table = table;
	set->size = size;
	return true;
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
	uint64	   *table = set->table;
	uint64		mask = set->size - 1;
	uint64		places[ROWS_AT_ONCE];
	int			count = 0;
	int			used = 0;

	for (int k = 0; k < n; k++)
	{
		uint64		value = values[sel ? sel[start + k] : start + k];

		places[k] = omen_hash_int(value) & mask;
		__builtin_prefetch(&table[places[k]], 1);
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
	set->nslots_used += used;
	return count + used;
}

/* See agg.h */
int64
omen_intset_add(OmenIntSet *set, const Datum *values, const uint16 *sel,
				int nsel, uint16 *missing, int *nmissing)
{
	int64		added = 0;

	*nmissing = 0;
	for (int start = 0; start < nsel; start += ROWS_AT_ONCE)
	{
		int			n = Min(nsel - start, ROWS_AT_ONCE);

		if (!set->full &&
			(set->nslots_used + n) * 2 > set->size && !grow(set))
			set->full = true;
		if (set->full)
			*nmissing += add_rows(set, values, sel, start, n, true,
								  missing + *nmissing);
		else
			added += add_rows(set, values, sel, start, n, false, NULL);
	}
	return added;
}
