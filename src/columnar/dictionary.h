/*-------------------------------------------------------------------------
 *
 * dictionary.h
 *	  Finding the distinct values of a column.  Private to src/columnar.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#ifndef OMENDB_DICTIONARY_H
#define OMENDB_DICTIONARY_H

#include "postgres.h"

/* The values of a column, as its builder holds them */
typedef struct OmenValues
{
	uint32		count;
	const uint8 *missing;		/* per value */
	const uint64 *ints;			/* the values, or where they start in data */
	const char *data;			/* NULL: the values are integers.  8 bytes
								 * behind the last value can be read */
} OmenValues;

/* Slot of the hash table; linear probing */
typedef struct OmenDictionarySlot
{
	uint64		key;			/* see dictionary.c */
	uint32		length;			/* bytes, 0 of integers */
	uint32		code;			/* of the entry, + 1; 0: free */
} OmenDictionarySlot;

typedef struct OmenDictionary
{
	uint32		nentries;
	uint32	   *rows;			/* per entry: a row with that value */
	uint64	   *codes;			/* per row; free where it is missing */

	/* Memory for building it, used again by the next one */
	MemoryContext mcxt;
	uint32		max_rows;		/* that rows and codes have room for */
	uint32		max_slots;
	uint32		nslots;
	OmenDictionarySlot *slots;	/* hash table */
} OmenDictionary;

/* The entries of a dictionary, in memory of their own, to be found by others */
typedef struct OmenSharedEntries
{
	uint32		nentries;		/* 0: there are none */
	uint64	   *starts;			/* nentries + 1, into data */
	char	   *data;
	uint32		nslots;
	OmenDictionarySlot *slots;	/* hash table */
} OmenSharedEntries;

extern bool omen_dictionary_build(OmenDictionary *dictionary,
								  const OmenValues *values,
								  uint32 max_entries);
extern void omen_shared_entries_set(OmenSharedEntries *shared,
									const OmenDictionary *dictionary,
									const OmenValues *values);
extern void omen_shared_entries_forget(OmenSharedEntries *shared);
extern uint32 omen_shared_entries_find(const OmenSharedEntries *shared,
									   const OmenDictionary *dictionary,
									   const OmenValues *values,
									   uint32 *codes, Size *found_bytes);

#endif							/* OMENDB_DICTIONARY_H */
