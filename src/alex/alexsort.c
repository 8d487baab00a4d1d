/*-------------------------------------------------------------------------
 *
 * alexsort.c
 *	  Sorting of index entries for a build, within maintenance_work_mem.
 *
 * Entries are sorted as pairs of 64-bit words with an inlined comparison;
 * payloads stay where they are.  When memory is full, the sorted entries go
 * to a temporary file as a run; all runs are merged at the end.  The runs of
 * a parallel build's workers lie in a shared file set and are merged by the
 * leader together with its own.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "alex/alex.h"

#include <fcntl.h>

#include "lib/binaryheap.h"
#include "port/pg_bitutils.h"
#include "prefetch.h"
#include "storage/buffile.h"
#include "utils/memutils.h"

typedef struct SortEntry
{
	uint64		image;
	uint64		rest;			/* as AlexKey's, and the flag below */
	char	   *payload;		/* or NULL */
} SortEntry;

#define INITIAL_CAPACITY	1024

/* So many entries ahead of the one that is read payloads are fetched */
#define PREFETCH_DISTANCE	12

/* Payloads are kept in pieces of this size; one has room for the longest */
#define CHUNK_SIZE			(16 * 1024)

typedef struct SortRun
{
	BufFile    *file;
	SortEntry	head;
	char	   *buffer;			/* of head's payload */
	Size		buffer_size;
} SortRun;


struct AlexSort
{
	Relation	rel;
	AlexRel		info;
	MemoryContext context;
	MemoryContext payloads;		/* of the entries in memory */
	char	   *chunk;			/* what is free of the last piece of that */
	Size		chunk_left;
	Size		allowed;		/* bytes */
	Size		payload_bytes;
	SortEntry  *entries;
	Size		nentries;
	Size		capacity;
	Size		next;			/* reading, in memory */
	SortRun    *runs;
	int			nruns;
	binaryheap *heap;
	SortRun    *last;			/* run that gave the last entry */
	SharedFileSet *fileset;		/* where a worker's runs go, or NULL */
	int			participant;
};

/* Bytes of a payload; where index tuples follow each other all are aligned. */
static inline Size
payload_size(const AlexSort *sort, const char *payload)
{
	if (payload == NULL)
		return 0;
	return sort->info.wide ? alex_entry_size(payload) :
		MAXALIGN(IndexTupleSize((IndexTuple) payload));
}

/* not part of the order; classes that occur are below 256 */
#define SORT_DEAD	(UINT64CONST(1) << 63)

static inline int
compare_entries(const SortEntry *a, const SortEntry *b, const AlexSort *sort)
{
	uint64		ra = a->rest & ~SORT_DEAD;
	uint64		rb = b->rest & ~SORT_DEAD;
	uint16		ca = ra >> ALEX_CLASS_SHIFT;
	uint16		cb = rb >> ALEX_CLASS_SHIFT;

	if (ca != cb)
		return ca < cb ? -1 : 1;
	if (a->image != b->image)
		return a->image < b->image ? -1 : 1;
	if (ra != rb)
		return ra < rb ? -1 : 1;
	/* wide keys go on where the images end */
	if (sort->info.wide)
		return alex_entry_cmp(sort->rel, &sort->info, a->image,
							  ra & ALEX_TID_MASK, a->payload, b->payload,
							  true);
	return 0;
}

#define ST_SORT sort_entries
#define ST_ELEMENT_TYPE SortEntry
#define ST_COMPARE_ARG_TYPE AlexSort
#define ST_COMPARE(a, b, sort) compare_entries(a, b, sort)
#define ST_SCOPE static
#define ST_CHECK_FOR_INTERRUPTS
#define ST_DEFINE
#include "lib/sort_template.h"

/* Fewer entries than this are compared, not distributed */
#define FEW_ENTRIES		1024

/* Bits of the image by which they are distributed at a time */
#define DIGIT_BITS		10
#define DIGITS			(1 << DIGIT_BITS)

static inline uint16
entry_class(const SortEntry *entry)
{
	return (entry->rest & ~SORT_DEAD) >> ALEX_CLASS_SHIFT;
}

/* In a loop over all entries, of which there may be very many */
static inline void
check_interrupts(Size i)
{
	if (unlikely((i & 0xFFFF) == 0))
		CHECK_FOR_INTERRUPTS();
}

/*
 * Sort n entries of one class: American flag sort (P. M. McIlroy, K. Bostic,
 * M. D. McIlroy: Engineering Radix Sort, 1993), which needs no memory, by the first bits
 * in which their images differ, then those that are equal in these in the same way.
 */
static void
distribute(SortEntry *entries, Size n, AlexSort *sort)
{
	Size		begin[DIGITS + 1];
	Size		next[DIGITS];
	uint64		differ = 0;
	int			shift;

	CHECK_FOR_INTERRUPTS();
	Assert(n == 0 || entry_class(&entries[0]) == entry_class(&entries[n - 1]));
	if (n > FEW_ENTRIES)
	{
		for (Size i = 1; i < n; i++)
		{
			check_interrupts(i);
			differ |= entries[i].image ^ entries[0].image;
		}
	}
	if (differ == 0)
	{
		sort_entries(entries, n, sort);
		return;
	}

	shift = Max(pg_leftmost_one_pos64(differ) + 1 - DIGIT_BITS, 0);
#define DIGIT_OF(entry) ((entry).image >> shift & (DIGITS - 1))
	memset(begin, 0, sizeof(begin));
	for (Size i = 0; i < n; i++)
	{
		check_interrupts(i);
		begin[DIGIT_OF(entries[i]) + 1]++;
	}
	for (int d = 0; d < DIGITS; d++)
	{
		begin[d + 1] += begin[d];
		next[d] = begin[d];
	}
	for (int d = 0; d < DIGITS; d++)
	{
		while (next[d] < begin[d + 1])
		{
			SortEntry	entry = entries[next[d]];
			int			to = DIGIT_OF(entry);

			check_interrupts(next[d]);
			/* until one comes that belongs here */
			while (to != d)
			{
				SortEntry	other = entries[next[to]];

				entries[next[to]++] = entry;
				entry = other;
				to = DIGIT_OF(entry);
			}
			entries[next[d]++] = entry;
		}
	}
#undef DIGIT_OF
	for (int d = 0; d < DIGITS; d++)
	{
		Size		count = begin[d + 1] - begin[d];

		if (count > 1)
			distribute(entries + begin[d], count, sort);
	}
}

/*
 * Sort the entries in memory.  Most images are told apart by their first bytes; what
 * these leave open, and few entries at a time, is compared.
 */
static void
sort_in_memory(AlexSort *sort)
{
	SortEntry  *entries = sort->entries;
	Size		n = sort->nentries;
	Size		i = 1;
	Size		low = 0;
	uint16		lowest;

	while (i < n && compare_entries(&entries[i - 1], &entries[i], sort) <= 0)
		check_interrupts(++i);
	if (i >= n)
		return;

	/* values and NULLs: the lower class first */
	lowest = entry_class(&entries[0]);
	for (i = 1; i < n; i++)
	{
		check_interrupts(i);
		lowest = Min(lowest, entry_class(&entries[i]));
	}
	for (i = 0; i < n; i++)
	{
		check_interrupts(i);
		if (entry_class(&entries[i]) == lowest && low++ != i)
		{
			SortEntry	entry = entries[i];

			entries[i] = entries[low - 1];
			entries[low - 1] = entry;
		}
	}
	distribute(entries, low, sort);
	distribute(entries + low, n - low, sort);
}

/*
 * Start a sort that may use about workmem_kb of memory, of entries of the index
 * rel; of wide keys the payloads tell the order of equal images.
 */
AlexSort *
alex_sort_begin(Relation rel, const AlexRel *info, int workmem_kb)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "alex sort",
												  ALLOCSET_DEFAULT_SIZES);
	AlexSort   *sort = MemoryContextAllocZero(context, sizeof(AlexSort));

	sort->context = context;
	sort->rel = rel;
	sort->info = *info;
	sort->payloads = AllocSetContextCreate(context, "alex sort payloads",
										   ALLOCSET_DEFAULT_SIZES);
	sort->allowed = Max((Size) workmem_kb, 64) * 1024;
	sort->capacity = INITIAL_CAPACITY;
	sort->entries = MemoryContextAlloc(context,
									   sort->capacity * sizeof(SortEntry));
	return sort;
}


static void
run_name(char *name, int participant, int run)
{
	snprintf(name, MAXPGPATH, "alex.%d.%d", participant, run);
}

static SortRun *
add_run(AlexSort *sort)
{
	SortRun    *run;

	if (sort->runs == NULL)
		sort->runs = palloc(sizeof(SortRun));
	else
		sort->runs = repalloc(sort->runs,
							  (sort->nruns + 1) * sizeof(SortRun));
	run = &sort->runs[sort->nruns++];
	memset(run, 0, sizeof(SortRun));
	return run;
}

/* Sort what is in memory and write it to a new run. */
static void
spill(AlexSort *sort)
{
	MemoryContext old = MemoryContextSwitchTo(sort->context);
	SortRun    *run;

	sort_in_memory(sort);
	run = add_run(sort);
	if (sort->fileset)
	{
		char		name[MAXPGPATH];

		run_name(name, sort->participant, sort->nruns - 1);
		run->file = BufFileCreateFileSet(&sort->fileset->fs, name);
	}
	else
		run->file = BufFileCreateTemp(false);
	for (Size i = 0; i < sort->nentries; i++)
	{
		SortEntry  *entry = &sort->entries[i];
		uint64		head[3];

		CHECK_FOR_INTERRUPTS();
		head[0] = entry->image;
		head[1] = entry->rest;
		head[2] = payload_size(sort, entry->payload);
		BufFileWrite(run->file, head, sizeof(head));
		if (entry->payload)
			BufFileWrite(run->file, entry->payload, head[2]);
	}
	sort->nentries = 0;
	sort->payload_bytes = 0;
	MemoryContextReset(sort->payloads);
	sort->chunk_left = 0;

	/*
	 * The next entries may divide the memory between array and payloads in
	 * another way; with an array that takes all, each payload would be a run.
	 */
	sort->capacity = INITIAL_CAPACITY;
	sort->entries = repalloc(sort->entries,
							 sort->capacity * sizeof(SortEntry));
	MemoryContextSwitchTo(old);
}

/* A copy of a payload. */
static char *
keep_payload(AlexSort *sort, AlexPayload payload)
{
	char	   *copy;

	if (payload.size > sort->chunk_left)
	{
		sort->chunk_left = CHUNK_SIZE;
		sort->chunk = MemoryContextAlloc(sort->payloads, CHUNK_SIZE);
		sort->payload_bytes += CHUNK_SIZE;
	}
	copy = sort->chunk;
	memcpy(copy, payload.data, payload.size);
	sort->chunk += payload.size;
	sort->chunk_left -= payload.size;
	return copy;
}

/* Add an entry; the payload is copied. */
void
alex_sort_put(AlexSort *sort, AlexKey key, bool alive, AlexPayload payload)
{
	SortEntry  *entry;

	if (sort->nentries == sort->capacity)
	{
		Size		bytes = sort->capacity * sizeof(SortEntry);

		if (2 * bytes + sort->payload_bytes > sort->allowed)
			spill(sort);
		else
		{
			sort->capacity *= 2;
			sort->entries = repalloc_huge(sort->entries, 2 * bytes);
		}
	}
	else if (payload.size > sort->chunk_left &&
			 sort->capacity * sizeof(SortEntry) + sort->payload_bytes >
			 sort->allowed && sort->nentries > 0)
		spill(sort);

	entry = &sort->entries[sort->nentries++];
	entry->image = key.image;
	entry->rest = key.rest | (alive ? 0 : SORT_DEAD);
	entry->payload = payload.data ? keep_payload(sort, payload) : NULL;
}

/* Have the runs of this sort, a worker's, written where others can read. */
void
alex_sort_share(AlexSort *sort, SharedFileSet *fileset, int participant)
{
	sort->fileset = fileset;
	sort->participant = participant;
}

/* A worker has put all its entries: returns the number of its runs. */
int
alex_sort_export(AlexSort *sort)
{
	if (sort->nentries > 0)
		spill(sort);
	for (int i = 0; i < sort->nruns; i++)
		BufFileExportFileSet(sort->runs[i].file);
	return sort->nruns;
}

/* Add a worker's runs to those that alex_sort_perform will merge. */
void
alex_sort_import(AlexSort *sort, SharedFileSet *fileset, int participant,
				 int nruns)
{
	MemoryContext old = MemoryContextSwitchTo(sort->context);

	for (int i = 0; i < nruns; i++)
	{
		char		name[MAXPGPATH];

		run_name(name, participant, i);
		add_run(sort)->file = BufFileOpenFileSet(&fileset->fs, name,
												 O_RDONLY, false);
	}
	MemoryContextSwitchTo(old);
}

/* Read a run's next entry into its head; false at the end. */
static bool
advance(AlexSort *sort, SortRun *run)
{
	uint64		head[3];
	Size		got = BufFileRead(run->file, head, sizeof(head));

	if (got == 0)
		return false;
	if (got != sizeof(head))
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not read from alex sort file: read only %zu of %zu bytes",
						got, sizeof(head))));
	run->head.image = head[0];
	run->head.rest = head[1];
	run->head.payload = NULL;
	if (head[2] > 0)
	{
		if (head[2] > run->buffer_size)
		{
			if (run->buffer)
				pfree(run->buffer);
			run->buffer_size = Max(head[2], 256);
			run->buffer = MemoryContextAlloc(sort->context, run->buffer_size);
		}
		got = BufFileRead(run->file, run->buffer, head[2]);
		if (got != head[2])
			ereport(ERROR,
					(errcode_for_file_access(),
					 errmsg("could not read from alex sort file: read only %zu of %zu bytes",
							got, (Size) head[2])));
		run->head.payload = run->buffer;
	}
	return true;
}

/* binaryheap has the largest first */
static int
compare_runs(Datum a, Datum b, void *arg)
{
	return compare_entries(&((SortRun *) DatumGetPointer(b))->head,
						   &((SortRun *) DatumGetPointer(a))->head,
						   (AlexSort *) arg);
}

/* All entries are in: sort. */
void
alex_sort_perform(AlexSort *sort)
{
	if (sort->nruns == 0)
	{
		sort_in_memory(sort);
		return;
	}
	if (sort->nentries > 0)
		spill(sort);
	pfree(sort->entries);
	sort->entries = NULL;
	sort->heap = binaryheap_allocate(sort->nruns, compare_runs, sort);
	for (int i = 0; i < sort->nruns; i++)
	{
		SortRun    *run = &sort->runs[i];

		if (BufFileSeek(run->file, 0, 0, SEEK_SET) != 0)
			ereport(ERROR,
					(errcode_for_file_access(),
					 errmsg("could not rewind alex sort file")));
		if (advance(sort, run))
			binaryheap_add_unordered(sort->heap, PointerGetDatum(run));
	}
	binaryheap_build(sort->heap);
}

/* Get the next entry in order; false at the end. */
bool
alex_sort_get(AlexSort *sort, AlexSortItem *item)
{
	SortEntry  *entry;

	if (sort->heap == NULL)
	{
		if (sort->next >= sort->nentries)
			return false;
		entry = &sort->entries[sort->next++];
		/* payloads lie where the table's rows have put them */
		if (sort->next + PREFETCH_DISTANCE < sort->nentries)
			omen_prefetch(sort->entries[sort->next +
										PREFETCH_DISTANCE].payload);
	}
	else
	{
		if (sort->last != NULL)
		{
			/* its head has been consumed, and stood on top until now */
			if (advance(sort, sort->last))
				binaryheap_replace_first(sort->heap,
										 PointerGetDatum(sort->last));
			else
				binaryheap_remove_first(sort->heap);
			sort->last = NULL;
		}
		if (binaryheap_empty(sort->heap))
			return false;
		sort->last = (SortRun *)
			DatumGetPointer(binaryheap_first(sort->heap));
		entry = &sort->last->head;
	}
	item->key.image = entry->image;
	item->key.rest = entry->rest & ~SORT_DEAD;
	item->alive = (entry->rest & SORT_DEAD) == 0;
	item->payload.data = entry->payload;
	item->payload.size = payload_size(sort, entry->payload);
	return true;
}

void
alex_sort_end(AlexSort *sort)
{
	for (int i = 0; i < sort->nruns; i++)
		BufFileClose(sort->runs[i].file);
	MemoryContextDelete(sort->context);
}
