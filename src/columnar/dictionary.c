/*-------------------------------------------------------------------------
 *
 * dictionary.c
 *	  Finding the distinct values of a column.
 *
 * A hash table with linear probing over the rows of one segment.  Entries of
 * integers come out in ascending order, so that the smallest and largest code
 * of a vector give its zone map; those of bytes in the order in which they
 * first appear.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "dictionary.h"

#include "port/pg_bitutils.h"

/*
 * If so many rows have hardly a value twice, the column has too many distinct
 * ones; there is no need to go on to max_entries.
 */
#define PROBE_ROWS 1024
#define PROBE_ENTRIES (PROBE_ROWS - PROBE_ROWS / 16)

typedef struct SortEntry
{
	int64		value;
	uint32		row;
	uint32		code;			/* before sorting */
} SortEntry;

static inline uint64
mix(uint64 hash, uint64 word)
{
	hash = (hash ^ word) * UINT64CONST(0x9E3779B97F4A7C15);
	return hash ^ (hash >> 32);
}

static inline uint64
hash_bytes_of(const char *p, Size length)
{
	uint64		hash = length;
	uint64		word;

	for (; length >= sizeof(word); p += sizeof(word), length -= sizeof(word))
	{
		memcpy(&word, p, sizeof(word));
		hash = mix(hash, word);
	}
	if (length > 0)
	{
		word = 0;
		memcpy(&word, p, length);
		hash = mix(hash, word);
	}
	return hash;
}

/* Length of a value that is not an integer */
static inline Size
value_length(const OmenValues *values, uint32 row)
{
	return values->ints[row + 1] - values->ints[row];
}

static inline bool
same_value(const OmenValues *values, uint32 a, uint32 b)
{
	Size		length;

	if (values->data == NULL)
		return values->ints[a] == values->ints[b];
	length = value_length(values, a);
	return length == value_length(values, b) &&
		memcmp(values->data + values->ints[a], values->data + values->ints[b],
			   length) == 0;
}

static int
compare_entries(const void *a, const void *b)
{
	int64		left = ((const SortEntry *) a)->value;
	int64		right = ((const SortEntry *) b)->value;

	return left < right ? -1 : left > right;
}

/* Renumber the entries in ascending order of their integers */
static void
sort_entries(OmenDictionary *dictionary, const OmenValues *values)
{
	uint32		n = dictionary->nentries;
	SortEntry  *entries = palloc(sizeof(SortEntry) * (n + 1));
	uint32	   *new_codes = palloc(sizeof(uint32) * (n + 1));
	uint32		i;

	for (i = 0; i < n; i++)
	{
		entries[i].row = dictionary->rows[i];
		entries[i].value = (int64) values->ints[entries[i].row];
		entries[i].code = i;
	}
	qsort(entries, n, sizeof(SortEntry), compare_entries);
	for (i = 0; i < n; i++)
	{
		dictionary->rows[i] = entries[i].row;
		new_codes[entries[i].code] = i;
	}
	for (i = 0; i < values->count; i++)
		if (!values->missing[i])
			dictionary->codes[i] = new_codes[dictionary->codes[i]];
	pfree(entries);
	pfree(new_codes);
}

static void
forget(void **array)
{
	if (*array != NULL)
		pfree(*array);
	*array = NULL;
}

/* Make room for so many rows and slots */
static void
reserve(OmenDictionary *dictionary, uint32 nrows, uint32 nslots)
{
	if (dictionary->max_rows < nrows)
	{
		forget((void **) &dictionary->rows);
		forget((void **) &dictionary->codes);
		dictionary->max_rows = 0;
		dictionary->rows = MemoryContextAlloc(dictionary->mcxt,
											  sizeof(uint32) * (nrows + 1));
		dictionary->codes = MemoryContextAlloc(dictionary->mcxt,
											   sizeof(uint64) * (nrows + 1));
		dictionary->max_rows = nrows;
	}
	if (dictionary->max_slots < nslots)
	{
		forget((void **) &dictionary->slots);
		dictionary->max_slots = 0;
		dictionary->slots = MemoryContextAlloc(dictionary->mcxt,
											   sizeof(uint32) * nslots);
		dictionary->max_slots = nslots;
	}
	memset(dictionary->slots, 0, sizeof(uint32) * nslots);
}

/*
 * omen_dictionary_build: number the distinct values of a column.
 *
 * values->ints has an end after the last value if they are bytes.  False if there
 * are more than max_entries.  The arrays are good until the next call for the
 * same struct, which begins as zeros and the context for them.
 */
bool
omen_dictionary_build(OmenDictionary *dictionary, const OmenValues *values,
					  uint32 max_entries)
{
	uint32		size = pg_nextpower2_32(Max(max_entries, 8) * 2);
	uint32		mask = size - 1;
	uint32	   *slots;
	uint32		row;

	Assert(max_entries <= values->count);
	dictionary->nentries = 0;
	reserve(dictionary, values->count, size);
	slots = dictionary->slots;

	for (row = 0; row < values->count; row++)
	{
		uint64		hash;
		uint32		slot;

		dictionary->codes[row] = 0;
		if (values->missing[row])
			continue;
		hash = values->data == NULL ? mix(0, values->ints[row]) :
			hash_bytes_of(values->data + values->ints[row],
						  value_length(values, row));
		slot = (uint32) hash & mask;
		while (slots[slot] != 0 &&
			   !same_value(values, dictionary->rows[slots[slot] - 1], row))
			slot = (slot + 1) & mask;
		if (slots[slot] == 0)
		{
			if (dictionary->nentries == max_entries ||
				(row < PROBE_ROWS && dictionary->nentries == PROBE_ENTRIES))
				return false;
			dictionary->rows[dictionary->nentries++] = row;
			slots[slot] = dictionary->nentries;
		}
		dictionary->codes[row] = slots[slot] - 1;
	}

	if (values->data == NULL)
		sort_entries(dictionary, values);
	return true;
}
