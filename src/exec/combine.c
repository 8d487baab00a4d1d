/*-------------------------------------------------------------------------
 *
 * combine.c
 *	  Groups by several keys of small domains: an array instead of a hash table.
 *
 * Each key has a code: what an integer is more than the smallest one, or the number
 * of an interned value.  Codes next to each other, in as many bits as each needs, are
 * the place of a row's group in the array.  Domains become known as rows come:
 * the array is laid out anew when one outgrows its bits, and given up when it would
 * be too large.  Rows with a null, and those of groups that are not in the array
 * yet, are left to the hash table, which has all groups.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "exec/agg.h"

#include "port/pg_bitutils.h"
#include "prefetch.h"
#include "utils/memutils.h"

#define MAX_COMBINED_BITS	17
#define NO_CODE				PG_UINT32_MAX

/* See agg.h */
void
omen_combined_reset(OmenCombined *combined)
{
	memset(combined, 0, sizeof(*combined));
	for (int c = 0; c < OMEN_COMBINED_KEYS; c++)
	{
		combined->low[c] = PG_INT64_MAX;
		combined->high[c] = PG_INT64_MIN;
	}
}

/* What stands for a key's value: itself, or the number of an interned one */
static inline int64
get_number(const OmenKey *key, Datum value)
{
	return key->number_offset == 0 ? (int64) value :
		*(int64 *) (DatumGetPointer(value) + key->number_offset);
}

/*
 * Codes of the selected rows, NO_CODE where there is none.  Returns false if that
 * is so of values that are not null.
 */
static bool
get_codes(OmenGroups *groups, OmenVec **keys, const uint16 *sel, int nsel,
		  uint32 *codes)
{
	OmenCombined *combined = &groups->combined;
	bool		all = true;

	memset(codes, 0, sizeof(uint32) * nsel);
	for (int c = 0; c < groups->nkeys; c++)
	{
		const OmenKey *key = &groups->keys[c];
		const Datum *values = keys[c]->values;
		const bool *isnull = keys[c]->isnull;
		uint64		base = (uint64) combined->base[c];
		uint64		size = UINT64CONST(1) << combined->bits[c];
		int			shift = combined->shift[c];

		for (int k = 0; k < nsel; k++)
		{
			int			i = sel ? sel[k] : k;
			uint64		code;

			if (isnull && isnull[i])
			{
				codes[k] = NO_CODE;
				continue;
			}
			code = (uint64) get_number(key, values[i]) - base;
			all &= code < size;
			codes[k] |= code < size ? (uint32) code << shift : NO_CODE;
		}
	}
	return all;
}

/* Lay the array out for the rows' values, too; false if it would be too large */
static bool
lay_out(OmenGroups *groups, OmenVec **keys, const uint16 *sel, int nsel)
{
	OmenCombined *combined = &groups->combined;
	int			total = 0;

	/*
	 * Groups that there are may have values which low and high do not know of: what
	 * was left of the bits has been used.
	 */
	for (int64 g = 0; g < groups->ngroups; g++)
	{
		char	   *group = omen_group(groups, g);

		for (int c = 0; c < groups->nkeys; c++)
		{
			int64		number;

			if (OmenGroupNulls(groups, group)[c])
				continue;
			number = get_number(&groups->keys[c], OmenGroupKeys(group)[c]);
			combined->low[c] = Min(combined->low[c], number);
			combined->high[c] = Max(combined->high[c], number);
		}
	}

	for (int c = 0; c < groups->nkeys; c++)
	{
		const OmenKey *key = &groups->keys[c];
		int64		low = combined->low[c];
		int64		high = combined->high[c];
		uint64		last;

		for (int k = 0; k < nsel; k++)
		{
			int			i = sel ? sel[k] : k;

			if (!(keys[c]->isnull && keys[c]->isnull[i]))
			{
				int64		number = get_number(key, keys[c]->values[i]);

				low = Min(low, number);
				high = Max(high, number);
			}
		}
		combined->low[c] = low;
		combined->high[c] = high;
		combined->base[c] = 0;
		combined->bits[c] = 0;
		combined->shift[c] = total;
		if (low > high)
			continue;			/* nulls only */
		last = (uint64) high - (uint64) low;
		if (last >> MAX_COMBINED_BITS != 0)
			return false;
		if (last > 0)
			combined->bits[c] = pg_leftmost_one_pos64(last) + 1;
		/* what is left of the bits may be needed at either end */
		combined->base[c] = (int64) ((uint64) low -
									 ((UINT64CONST(1) << combined->bits[c]) - 1 - last) / 2);
		total += combined->bits[c];
	}
	if (total > MAX_COMBINED_BITS ||
		groups->limit < ((4 * sizeof(char *)) << total))
		return false;

	if (combined->groups)
		pfree(combined->groups);
	combined->groups = MemoryContextAllocZero(groups->mcxt,
											  sizeof(char *) << total);
	for (int64 g = 0; g < groups->ngroups; g++)
	{
		char	   *group = omen_group(groups, g);
		uint32		at = 0;
		bool		any_null = false;

		for (int c = 0; c < groups->nkeys; c++)
		{
			any_null |= OmenGroupNulls(groups, group)[c];
			if (!any_null)
				at |= (uint32) ((uint64) get_number(&groups->keys[c],
													OmenGroupKeys(group)[c]) -
								(uint64) combined->base[c]) << combined->shift[c];
		}
		if (!any_null)
			combined->groups[at] = group;
	}
	return true;
}

/* See agg.h */
bool
omen_combined_lookup(OmenGroups *groups, OmenVec **keys, const uint16 *sel,
					 int nsel, char **found, uint16 *rest, int *nrest)
{
	OmenCombined *combined = &groups->combined;
	uint32	   *codes = combined->codes;
	int			n = 0;

	if (combined->given_up || groups->full)
		return false;
	if (combined->groups == NULL ||
		!get_codes(groups, keys, sel, nsel, codes))
	{
		if (!lay_out(groups, keys, sel, nsel))
		{
			if (combined->groups)
				pfree(combined->groups);
			combined->groups = NULL;
			combined->given_up = true;
			return false;
		}
		(void) get_codes(groups, keys, sel, nsel, codes);
	}
	for (int k = 0; k < nsel; k++)
	{
		char	   *group = codes[k] == NO_CODE ? NULL :
			combined->groups[codes[k]];

		/* what advances its state comes soon */
		omen_prefetch(group);
		found[k] = group;
		rest[n] = (uint16) k;
		n += group == NULL;
	}
	*nrest = n;
	return true;
}

/* See agg.h */
void
omen_combined_remember(OmenGroups *groups, char **found, const uint16 *rest,
					   int nrest)
{
	OmenCombined *combined = &groups->combined;

	for (int j = 0; j < nrest; j++)
		if (combined->codes[rest[j]] != NO_CODE)
			combined->groups[combined->codes[rest[j]]] = found[rest[j]];
}
