/*-------------------------------------------------------------------------
 *
 * alexprefix.c
 *	  Choosing the prefix and the code of an index that is built.
 *
 * The images of a wide key are its first 112 bits.  Texts that begin alike
 * (URLs, paths, ids of one kind) would all have the same ones, and be found by
 * comparison alone.  So an index whose first column is a text in the order of
 * bytes remembers in its meta page what most of its keys begin with, and
 * images are formed of what is behind that.
 *
 * Where many of the texts are still alike as far as the images go, these hold them in
 * a code (alexcode.h), which has more of a text in as many bits, if that tells them
 * apart.  To read a code takes longer than to copy bytes, so others have none.
 *
 * Both are chosen from a sample of the table before the index is built
 * and never change after that, so that nothing has to know of a change:
 * whichever they are, images are in the order of the keys.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "alex/alexcode.h"
#include "alex/alexforms.h"

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

/*
 * A code is made of a larger sample, and of so many bytes of a key at most, behind
 * the prefix.  One in so many neighbours in the first sample must be equal in
 * their images without it.
 */
#define CODE_SAMPLE_BLOCKS	128
#define CODE_MIN_KEYS		512
#define CODE_TEXT			72
#define CODE_MIN_EQUAL		32

typedef struct SampleKey
{
	int			len;
	bool		cut;			/* goes on */
	char		data[ALEX_MAX_PREFIX + CODE_TEXT];
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
	key->len = Min(VARSIZE_ANY_EXHDR(text), sizeof(key->data));
	key->cut = VARSIZE_ANY_EXHDR(text) > sizeof(key->data);
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

/* Sample up to so many blocks of the table, evenly spaced; sorted. */
static void
take_sample(Relation heap, Relation index, IndexInfo *indexInfo,
			BlockNumber most, Sample *sample)
{
	/* neither waits for other transactions nor tells what it has seen */
	IndexInfo	ours = *indexInfo;
	BlockNumber nblocks = RelationGetNumberOfBlocks(heap);
	BlockNumber nsample = Min(nblocks, most);

	ours.ii_Unique = false;
	ours.ii_ExclusionOps = NULL;
	sample->keys = palloc(Max(nsample, 1) * SAMPLE_KEYS * sizeof(SampleKey));
	sample->n = 0;
	for (BlockNumber i = 0; i < nsample; i++)
	{
		CHECK_FOR_INTERRUPTS();
		sample->end = sample->n + SAMPLE_KEYS;
		table_index_build_range_scan(heap, index, &ours, false, false, false,
									 (uint64) nblocks * i / nsample, 1,
									 sample_key, sample, NULL);
	}
	qsort(sample->keys, sample->n, sizeof(SampleKey), compare_keys);
}

static void
choose_prefix(const Sample *sample, AlexRel *info)
{
	SampleKey  *low;
	SampleKey  *high;
	int			len = 0;

	if (sample->n < MIN_KEYS)
		return;
	low = &sample->keys[sample->n / 20];
	high = &sample->keys[sample->n - 1 - sample->n / 20];
	/* all between the two begin with what they have in common */
	while (len < Min(Min(low->len, high->len), ALEX_MAX_PREFIX) &&
		   low->data[len] == high->data[len])
		len++;
	if (len >= MIN_PREFIX)
	{
		info->prefix.len = len;
		memcpy(info->prefix.data, low->data, len);
		info->prefix.hash = alex_prefix_hash(&info->prefix);
	}
}

/* What images hold of a key: behind the prefix, if it begins with that. */
static const char *
behind_prefix(const SampleKey *key, const AlexPrefix *prefix, int *len)
{
	*len = key->len;
	if (prefix->len > 0 && key->len >= (int) prefix->len &&
		memcmp(key->data, prefix->data, prefix->len) == 0)
		*len -= prefix->len;
	return key->data + key->len - *len;
}

/*
 * How many keys of a sample are not the one before, but equal in their images?  With
 * the code, or in their bytes.
 */
static int
count_equal(const Sample *sample, const AlexRel *info, AlexCode *code)
{
	int			left = USABLE_BITS - 1 - (info->prefix.len > 0 ? 2 : 0);
	int			equal = 0;
	uint64		last_high = 0;
	uint64		last_low = 0;

	for (int i = 0; i < sample->n; i++)
	{
		const SampleKey *key = &sample->keys[i];
		int			len;
		const char *p = behind_prefix(key, &info->prefix, &len);
		uint64		high = 0;
		uint64		low = 0;
		bool		same;

		if (code != NULL)
		{
			int			nbits;

			alex_encode(code, p, len, &high, &low, &nbits);
			low &= ~UINT64CONST(0) << (128 - left);
			same = high == last_high && low == last_low;
		}
		else
		{
			int			last_len;
			const char *last = i > 0 ?
				behind_prefix(key - 1, &info->prefix, &last_len) : NULL;

			same = i > 0 && len >= left / 8 && last_len >= left / 8 &&
				memcmp(p, last, left / 8) == 0;
		}
		if (i > 0 && same && compare_keys(key - 1, key) != 0)
			equal++;
		last_high = high;
		last_low = low;
	}
	return equal;
}

/* Set info->code if the sample's images are equal too often without one. */
static void
choose_code(Relation heap, Relation index, IndexInfo *indexInfo,
			Sample *sample, AlexRel *info)
{
	AlexStoredCode *stored;
	const char **keys;
	int		   *lens;
	bool	   *cut;
	AlexCode   *code;

	if (sample->n < CODE_MIN_KEYS ||
		count_equal(sample, info, NULL) < sample->n / CODE_MIN_EQUAL)
		return;
	pfree(sample->keys);
	take_sample(heap, index, indexInfo, CODE_SAMPLE_BLOCKS, sample);
	keys = palloc(Max(sample->n, 1) * sizeof(char *));
	lens = palloc(Max(sample->n, 1) * sizeof(int));
	cut = palloc(Max(sample->n, 1) * sizeof(bool));
	stored = palloc(sizeof(AlexStoredCode));
	for (int i = 0; i < sample->n; i++)
	{
		keys[i] = behind_prefix(&sample->keys[i], &info->prefix, &lens[i]);
		cut[i] = sample->keys[i].cut || lens[i] > CODE_TEXT;
		lens[i] = Min(lens[i], CODE_TEXT);
	}
	if (alex_train_code(keys, lens, cut, sample->n, stored))
	{
		code = alex_parse_code(stored);
		/* (one that has been made can be read) */
		Assert(code != NULL);
		if (code == NULL)
			 /* the index can do without */ ;
		else if (count_equal(sample, info, code) * 2 <=
				 count_equal(sample, info, NULL))
			info->code = alex_keep_code(code);
		else
			alex_free_code(code);
	}
	pfree(stored);
	pfree(cut);
	pfree(lens);
	pfree(keys);
}

/*
 * Set info->prefix for an index that is about to be built on a table: what nine
 * in ten of the sampled keys begin with, if that is anything.  And info->code, if
 * one helps.
 */
void
alex_choose_prefix(Relation heap, Relation index, IndexInfo *indexInfo,
				   AlexRel *info)
{
	Sample		sample;

	if (!alex_may_have_prefix(info))
		return;
	/* other access methods may know no scans of a part of the table */
	if (heap->rd_rel->relam != HEAP_TABLE_AM_OID &&
		!omen_is_omendb_table(heap))
		return;
	sample.context = AllocSetContextCreate(CurrentMemoryContext,
										   "alex sample",
										   ALLOCSET_DEFAULT_SIZES);
	take_sample(heap, index, indexInfo, SAMPLE_BLOCKS, &sample);
	choose_prefix(&sample, info);
	choose_code(heap, index, indexInfo, &sample, info);
	MemoryContextDelete(sample.context);
	pfree(sample.keys);
}
