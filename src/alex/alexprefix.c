/*-------------------------------------------------------------------------
 *
 * alexprefix.c
 *	  Choosing the prefix of an index that is built.
 *
 * The images of a wide key are its first 112 bits.  Texts that begin alike
 * (URLs, paths, ids of one kind) would all have the same ones, and be found by
 * comparison alone.  So an index whose first column is a text in the order of
 * bytes remembers in its meta page what most of its keys begin with, and
 * images are formed of what is behind that.
 *
 * The prefix is chosen from a sample of the table before the index is built
 * and never changes after that, so that nothing has to know of a change:
 * whichever it is, images are in the order of the keys.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "alex/alex.h"

#include "access/tableam.h"
#include "catalog/pg_am_d.h"
#include "table/table.h"
#include "utils/memutils.h"

/* Blocks that are looked at, evenly spaced, and keys taken from each */
#define SAMPLE_BLOCKS	32
#define SAMPLE_KEYS		64

/* A sample of fewer keys says nothing, a shorter prefix is not worth its bits */
#define MIN_KEYS		32
#define MIN_PREFIX		4

typedef struct SampleKey
{
	int			len;
	char		data[ALEX_MAX_PREFIX];
} SampleKey;

typedef struct Sample
{
	SampleKey  *keys;
	int			n;
	int			end;			/* of the block at hand */
	MemoryContext context;
} Sample;

static void
sample_key(Relation index, ItemPointer tid, Datum *values, bool *isnull,
		   bool tupleIsAlive, void *state)
{
	Sample	   *sample = (Sample *) state;
	MemoryContext old;
	struct varlena *text;
	SampleKey  *key;

	if (isnull[0] || sample->n >= sample->end)
		return;
	old = MemoryContextSwitchTo(sample->context);
	text = PG_DETOAST_DATUM_PACKED(values[0]);
	key = &sample->keys[sample->n++];
	key->len = Min(VARSIZE_ANY_EXHDR(text), ALEX_MAX_PREFIX);
	memcpy(key->data, VARDATA_ANY(text), key->len);
	MemoryContextSwitchTo(old);
	MemoryContextReset(sample->context);
}

static int
compare_keys(const void *a, const void *b)
{
	const SampleKey *ka = a;
	const SampleKey *kb = b;
	int			cmp = memcmp(ka->data, kb->data, Min(ka->len, kb->len));

	return cmp != 0 ? cmp : ka->len - kb->len;
}

/*
 * Set info->prefix for an index that is about to be built on a table: what nine
 * in ten of the sampled keys begin with, if that is anything.
 */
void
alex_choose_prefix(Relation heap, Relation index, IndexInfo *indexInfo,
				   AlexRel *info)
{
	/* neither waits for other transactions nor tells what it has seen */
	IndexInfo	ours = *indexInfo;
	BlockNumber nblocks;
	BlockNumber nsample;
	Sample		sample;
	SampleKey  *low;
	SampleKey  *high;
	uint32		len = 0;

	if (!alex_may_have_prefix(info))
		return;
	/* other access methods may know no scans of a part of the table */
	if (heap->rd_rel->relam != HEAP_TABLE_AM_OID &&
		!omen_is_omendb_table(heap))
		return;
	ours.ii_Unique = false;
	ours.ii_ExclusionOps = NULL;
	nblocks = RelationGetNumberOfBlocks(heap);
	nsample = Min(nblocks, SAMPLE_BLOCKS);
	sample.keys = palloc(SAMPLE_BLOCKS * SAMPLE_KEYS * sizeof(SampleKey));
	sample.n = 0;
	sample.context = AllocSetContextCreate(CurrentMemoryContext,
										   "alex sample",
										   ALLOCSET_DEFAULT_SIZES);
	for (BlockNumber i = 0; i < nsample; i++)
	{
		sample.end = sample.n + SAMPLE_KEYS;
		table_index_build_range_scan(heap, index, &ours, false, false, false,
									 (uint64) nblocks * i / nsample, 1,
									 sample_key, &sample, NULL);
	}
	if (sample.n >= MIN_KEYS)
	{
		qsort(sample.keys, sample.n, sizeof(SampleKey), compare_keys);
		low = &sample.keys[sample.n / 20];
		high = &sample.keys[sample.n - 1 - sample.n / 20];
		/* all between the two begin with what they have in common */
		while (len < Min(low->len, high->len) &&
			   low->data[len] == high->data[len])
			len++;
		if (len >= MIN_PREFIX)
		{
			info->prefix.len = len;
			memcpy(info->prefix.data, low->data, len);
			info->prefix.hash = alex_prefix_hash(&info->prefix);
		}
	}
	MemoryContextDelete(sample.context);
	pfree(sample.keys);
}
