/*-------------------------------------------------------------------------
 *
 * coldahead.c
 *	  Which chunks to load before anybody waits for them, for shared segments
 *	  (coldread.c).
 *
 * Columns: which ones a reader will want of a segment it does not say; but it
 * hardly wants others than of the segment of the same relation that was opened
 * before.
 *
 * Segments: who touches rows of a row group in two places will probably touch
 * more, and be it everywhere, in no order.  So a segment that the cache does not
 * have, and which is not the first of its row group that the transaction opens,
 * has others of the row group loaded, so that the worker need not be waited for
 * each time.  But no more of them in all than the transaction has opened, those
 * not counted which it came to afterwards: at worst twice as much is loaded as
 * would have been.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "table/coldahead.h"

#include "common/hashfn.h"
#include "port/pg_bitutils.h"

/*
 * The columns that a relation's shared segment opened last was asked for, in that
 * order.  A relation takes over the place of another: what is not known is loaded
 * when it is asked for.
 */
#define HABITS			64
#define HABIT_COLUMNS	32

typedef struct Habit
{
	Oid			relid;
	OmenRowGroupId id;			/* of that segment */
	int			segment;
	int			ncolumns;
	int16		columns[HABIT_COLUMNS];
} Habit;

static Habit habits[HABITS];

/*
 * Segments of a row group that the transaction has opened, and those that it has
 * had loaded ahead.  A row group takes over the place of another.
 */
#define GROUPS			256
#define GROUP_SEGMENTS	(OMEN_MAX_GROUP_BLOCKS / OMEN_SEGMENT_BLOCKS)

typedef struct GroupUse
{
	OmenRowGroupId id;
	uint32		transaction;
	uint32		opened;
	uint32		ahead;
} GroupUse;

StaticAssertDecl(GROUP_SEGMENTS <= 32, "a row group's segments are bits of a word");

static GroupUse groups[GROUPS];
static uint32 transaction = 1;	/* counts those that opened any */
static int	nopened = 0;
static int	nunused = 0;		/* loaded ahead, not opened since */

/* Chunks that are asked for at once: the queue has room for a few more */
#define AHEAD_CHUNKS	48

/* Note that a segment is opened; what is known of its row group */
static GroupUse *
note_opened(const OmenRowGroupId *id, int segment)
{
	uint32		random;
	GroupUse   *use;
	uint32		bit = (uint32) 1 << segment;

	/* the id's last bytes are random */
	memcpy(&random, id->bytes + sizeof(id->bytes) - sizeof(random),
		   sizeof(random));
	use = &groups[murmurhash32(random) % GROUPS];
	if (use->transaction != transaction || !OmenRowGroupIdEquals(&use->id, id))
	{
		use->id = *id;
		use->transaction = transaction;
		use->opened = use->ahead = 0;
	}
	if ((use->opened & bit) == 0)
		nopened++;
	if ((use->ahead & ~use->opened & bit) != 0)
		nunused--;
	use->opened |= bit;
	return use;
}

/* Have the columns of the habit loaded of a segment, whose first chunk is asked for */
static void
load_columns(const Habit *habit, const OmenRowGroupId *id,
			 const OmenOwner *owner, int segment, bool scan)
{
	for (int i = 0; i < habit->ncolumns; i++)
		omen_cache_prefetch(id, owner, habit->columns[i], segment, scan);
}

/* Have segments loaded that are likely to be asked for */
static void
load_segments(const Habit *habit, GroupUse *use, const OmenOwner *owner,
			  int segment, const uint8 *cold)
{
	int			nsegments = Max(1, omen_row_group_blocks / OMEN_SEGMENT_BLOCKS);
	int			most = Min(nopened - nunused,
						   AHEAD_CHUNKS / (habit->ncolumns + 1));

	if (pg_popcount32(use->opened) < 2)
		return;
	for (int i = 1; i < nsegments && most > 0; i++)
	{
		int			next = (segment + i) % nsegments;
		uint32		bit = (uint32) 1 << next;

		if (((use->opened | use->ahead) & bit) != 0 ||
			!omen_segment_is_cold(cold, next))
			continue;
		omen_cache_prefetch(&use->id, owner, OMEN_SYSTEM_ATTNO, next, true);
		load_columns(habit, &use->id, owner, next, true);
		use->ahead |= bit;
		nunused++;
		most--;
	}
}

/* See coldahead.h */
void
omen_ahead_open(Oid relid, const OmenRowGroupId *id, const OmenOwner *owner,
				int segment, bool missed, const uint8 *cold)
{
	Habit	   *habit = &habits[relid % HABITS];
	GroupUse   *use = note_opened(id, segment);

	if (missed && habit->relid == relid)
	{
		load_columns(habit, id, owner, segment, false);
		load_segments(habit, use, owner, segment, cold);
	}
	habit->relid = relid;
	habit->id = *id;
	habit->segment = segment;
	habit->ncolumns = 0;
}

/* See coldahead.h */
void
omen_ahead_note(Oid relid, const OmenRowGroupId *id, int segment, int attno)
{
	Habit	   *habit = &habits[relid % HABITS];

	if (attno != OMEN_SYSTEM_ATTNO &&
		habit->relid == relid && habit->segment == segment &&
		OmenRowGroupIdEquals(&habit->id, id) &&
		habit->ncolumns < HABIT_COLUMNS)
		habit->columns[habit->ncolumns++] = attno;
}

/* See coldahead.h */
void
omen_ahead_forget(void)
{
	if (nopened == 0)
		return;
	transaction++;
	nopened = 0;
	nunused = 0;
}
