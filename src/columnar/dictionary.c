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

/* A new dictionary's hash table has so many slots */
#define FIRST_SLOTS 128

static inline uint64
mix(uint64 hash, uint64 word)
{
	hash = (hash ^ word) * UINT64CONST(0x9E3779B97F4A7C15);
	return hash ^ (hash >> 32);
}

/* Up to 8 bytes as a number, whatever is behind them */
static inline uint64
load_short(const char *p, Size length)
{
	uint64		word;

	if (unlikely(length == 0))
		return 0;
	memcpy(&word, p, sizeof(word));
#ifdef WORDS_BIGENDIAN
	return word >> (64 - 8 * length);
#else
	return word << (64 - 8 * length);
#endif
}

/* Are two values of the same length, more than 8 bytes, equal? */
static inline bool
long_equal(const char *a, const char *b, Size length)
{
	uint64		left;
	uint64		right;

	for (Size i = 0; i + sizeof(left) < length; i += sizeof(left))
	{
		memcpy(&left, a + i, sizeof(left));
		memcpy(&right, b + i, sizeof(right));
		if (left != right)
			return false;
	}
	memcpy(&left, a + length - sizeof(left), sizeof(left));
	memcpy(&right, b + length - sizeof(right), sizeof(right));
	return left == right;
}

/*
 * A number for a value that is not an integer.  With the length, it tells values
 * of up to 8 bytes apart; longer ones with the same number need a look.
 */
static inline uint64
bytes_key(const char *p, Size length)
{
	uint64		hash = length;
	uint64		word;
	Size		done;

	if (length <= 8)
		return load_short(p, length);
	for (done = 0; done + sizeof(word) <= length; done += sizeof(word))
	{
		memcpy(&word, p + done, sizeof(word));
		hash = mix(hash, word);
	}
	if (done < length)
	{
		memcpy(&word, p + length - sizeof(word), sizeof(word));
		hash = mix(hash, word);
	}
	return hash;
}

/*
 * Where to look for a value first.  shift: 64 less the bits of a slot's number
 */
static inline uint32
first_slot(uint64 key, uint32 length, int shift)
{
	return (uint32) (mix(length, key) * UINT64CONST(0x9E3779B97F4A7C15) >>
					 shift);
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

/* Make room for so many rows */
static void
reserve_rows(OmenDictionary *dictionary, uint32 nrows)
{
	if (dictionary->max_rows >= nrows)
		return;
	forget((void **) &dictionary->rows);
	forget((void **) &dictionary->codes);
	dictionary->max_rows = 0;
	dictionary->rows = MemoryContextAlloc(dictionary->mcxt,
										  sizeof(uint32) * (nrows + 1));
	dictionary->codes = MemoryContextAlloc(dictionary->mcxt,
										   sizeof(uint64) * (nrows + 1));
	dictionary->max_rows = nrows;
}

/*
 * Give the hash table nslots slots, and enter what there is.  The table grows
 * with the dictionary: most of them are small, and are quick to look through if
 * they are.
 */
static void
rehash(OmenDictionary *dictionary, const OmenValues *values, uint32 nslots)
{
	OmenDictionarySlot *slots;
	int			shift;

	if (dictionary->max_slots < nslots)
	{
		forget((void **) &dictionary->slots);
		dictionary->max_slots = 0;
		dictionary->slots = MemoryContextAlloc(dictionary->mcxt,
											   sizeof(OmenDictionarySlot) *
											   nslots);
		dictionary->max_slots = nslots;
	}
	dictionary->nslots = nslots;
	slots = dictionary->slots;
	shift = 64 - pg_leftmost_one_pos32(nslots);
	memset(slots, 0, sizeof(OmenDictionarySlot) * nslots);
	for (uint32 i = 0; i < dictionary->nentries; i++)
	{
		uint32		row = dictionary->rows[i];
		uint64		key = values->ints[row];
		uint32		length = 0;
		uint32		slot;

		if (values->data != NULL)
		{
			length = values->ints[row + 1] - key;
			key = bytes_key(values->data + key, length);
		}
		slot = first_slot(key, length, shift);
		while (slots[slot].code != 0)
			slot = (slot + 1) & (nslots - 1);
		slots[slot].key = key;
		slots[slot].length = length;
		slots[slot].code = i + 1;
	}
}

/*
 * Number the values; false if there are too many distinct ones.
 *
 * is_bytes is a constant at each call.
 */
static pg_attribute_always_inline bool
number_values(OmenDictionary *dictionary, const OmenValues *values,
			  uint32 max_entries, const bool is_bytes)
{
	const char *data = values->data;
	const uint64 *ints = values->ints;
	const uint8 *missing = values->missing;
	uint32		count = values->count;
	uint64	   *codes = dictionary->codes;
	uint32	   *rows = dictionary->rows;
	OmenDictionarySlot *slots = dictionary->slots;
	uint32		mask = dictionary->nslots - 1;
	int			shift = 64 - pg_leftmost_one_pos32(dictionary->nslots);

	for (uint32 row = 0; row < count; row++)
	{
		uint64		key = ints[row];
		uint32		length = 0;
		uint32		slot;

		if (missing[row])
		{
			codes[row] = 0;
			continue;
		}
		if (is_bytes)
		{
			length = (uint32) (ints[row + 1] - key);
			key = bytes_key(data + key, length);
		}
		slot = first_slot(key, length, shift);
		while (slots[slot].code != 0 &&
			   !(slots[slot].key == key && slots[slot].length == length &&
				 (length <= 8 ||
				  long_equal(data + ints[row],
							 data + ints[rows[slots[slot].code - 1]],
							 length))))
			slot = (slot + 1) & mask;
		if (unlikely(slots[slot].code == 0))
		{
			if (dictionary->nentries == max_entries ||
				(row < PROBE_ROWS && dictionary->nentries == PROBE_ENTRIES))
				return false;
			rows[dictionary->nentries++] = row;
			slots[slot].key = key;
			slots[slot].length = length;
			slots[slot].code = dictionary->nentries;
			codes[row] = dictionary->nentries - 1;
			if (dictionary->nentries > mask / 2)
			{
				rehash(dictionary, values, dictionary->nslots * 4);
				slots = dictionary->slots;
				mask = dictionary->nslots - 1;
				shift = 64 - pg_leftmost_one_pos32(dictionary->nslots);
			}
		}
		else
			codes[row] = slots[slot].code - 1;
	}
	return true;
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
	Assert(max_entries <= values->count);
	dictionary->nentries = 0;
	reserve_rows(dictionary, values->count);
	rehash(dictionary, values, FIRST_SLOTS);
	if (values->data != NULL)
		return number_values(dictionary, values, max_entries, true);
	if (!number_values(dictionary, values, max_entries, false))
		return false;
	sort_entries(dictionary, values);
	return true;
}

/*
 * omen_shared_entries_set: keep the entries of a dictionary, which are bytes.
 *
 * In CurrentMemoryContext; what shared had before has been forgotten.
 */
void
omen_shared_entries_set(OmenSharedEntries *shared,
						const OmenDictionary *dictionary,
						const OmenValues *values)
{
	uint32		n = dictionary->nentries;
	uint64		size = 0;

	for (uint32 i = 0; i < n; i++)
		size += values->ints[dictionary->rows[i] + 1] -
			values->ints[dictionary->rows[i]];
	shared->starts = palloc(sizeof(uint64) * (n + 1));
	/* load_short() and long_equal() may look at what is behind the last one */
	shared->data = palloc0(size + sizeof(uint64));
	shared->slots = palloc(sizeof(OmenDictionarySlot) * dictionary->nslots);
	shared->nslots = dictionary->nslots;
	memcpy(shared->slots, dictionary->slots,
		   sizeof(OmenDictionarySlot) * dictionary->nslots);
	size = 0;
	for (uint32 i = 0; i < n; i++)
	{
		uint32		row = dictionary->rows[i];
		uint64		length = values->ints[row + 1] - values->ints[row];

		shared->starts[i] = size;
		memcpy(shared->data + size, values->data + values->ints[row], length);
		size += length;
	}
	shared->starts[n] = size;
	shared->nentries = n;
}

/*
 * omen_shared_entries_forget: free them.
 */
void
omen_shared_entries_forget(OmenSharedEntries *shared)
{
	shared->nentries = 0;
	forget((void **) &shared->starts);
	forget((void **) &shared->data);
	forget((void **) &shared->slots);
}

/*
 * omen_shared_entries_find: which entries of a dictionary are among them?
 *
 * codes: gets, per entry of the dictionary, its number there, or nentries if it is
 * not.  Returns how many are, and what their values take in all.
 */
uint32
omen_shared_entries_find(const OmenSharedEntries *shared,
						 const OmenDictionary *dictionary,
						 const OmenValues *values, uint32 *codes,
						 Size *found_bytes)
{
	const OmenDictionarySlot *slots = shared->slots;
	uint32		mask = shared->nslots - 1;
	int			shift = 64 - pg_leftmost_one_pos32(shared->nslots);
	uint32		found = 0;

	*found_bytes = 0;
	for (uint32 s = 0; s < dictionary->nslots; s++)
	{
		const OmenDictionarySlot *own = &dictionary->slots[s];
		uint32		slot;

		if (own->code == 0)
			continue;
		slot = first_slot(own->key, own->length, shift);
		while (slots[slot].code != 0 &&
			   !(slots[slot].key == own->key &&
				 slots[slot].length == own->length &&
				 (own->length <= 8 ||
				  long_equal(values->data +
							 values->ints[dictionary->rows[own->code - 1]],
							 shared->data + shared->starts[slots[slot].code - 1],
							 own->length))))
			slot = (slot + 1) & mask;
		codes[own->code - 1] = shared->nentries;
		if (slots[slot].code != 0)
		{
			codes[own->code - 1] = slots[slot].code - 1;
			*found_bytes += own->length;
			found++;
		}
	}
	return found;
}
