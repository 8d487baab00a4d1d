/*-------------------------------------------------------------------------
 *
 * sealgroup.h
 *	  What sealing knows of the row group that it is at.  Private to seal.c and
 *	  sealencode.c.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#ifndef OMENDB_SEALGROUP_H
#define OMENDB_SEALGROUP_H

#include "table/table.h"

#include "lib/stringinfo.h"
#include "portability/instr_time.h"
#include "table/freeze.h"
#include "table/sealmemory.h"

/* What sealing spends its time on */
typedef enum SealPhase
{
	SEAL_FREEZE,				/* examine, freeze */
	SEAL_COPY,					/* copy pages, or rebuild cold ones */
	SEAL_SPLIT,					/* pages into columns */
	SEAL_ENCODE,
	SEAL_PROVE,
	SEAL_COMPRESS,
	SEAL_WRITE,					/* the file */
	SEAL_PUBLISH,				/* WAL, flush, rename, ingest */
	SEAL_TURN,
	SEAL_RECLAIM,
	SEAL_NPHASES
} SealPhase;

/*
 * Clock of the phases, for a DEBUG1 message.  Read once per segment, and not at
 * all if nobody wants to know.
 */
typedef struct SealClock
{
	bool		runs;
	instr_time	last;
	double		last_cpu;
	double		cpu[SEAL_NPHASES];	/* s, of this process */
	double		wall[SEAL_NPHASES];
} SealClock;

/* Memory that is used again for one row group after another */
typedef struct SealScratch
{
	MemoryContext mcxt;			/* holds all of it */
	OmenSegmentBuilder *builder;	/* NULL: nothing is there yet */
	OmenChunkPacker *packer;
	char	   *images;			/* the pages of a segment */
	StringInfoData values;		/* packed chunks of a row group */
	SealClock	clock;
} SealScratch;

/* What we know of one block while its row group is being sealed */
typedef struct BlockState
{
	XLogRecPtr	lsn;			/* of the hot page that was encoded */
	Buffer		recent;			/* where it was last, or Invalid */
	bool		copied;			/* there is an image of it */
	bool		held;			/* the new version holds its rows */
	bool		was_cold;		/* rows came from the old version */
	uint16		nrows;
	uint32		rows_crc;		/* of what the new version holds */
} BlockState;

typedef struct GroupSeal
{
	Relation	rel;
	BlockNumber first;
	int			nblocks;		/* blocks there are, <= row_group_blocks */
	int			options;		/* OMEN_SEAL_* */
	BlockNumber header;			/* header page, or block 0 if it shall be it */
	int			header_off;		/* its offset in the row group */
	bool		resealing;		/* the row group is sealed already */
	bool		reserved;		/* the header page is a reserved one */
	OmenRowGroupId old_id;		/* when resealing */
	OmenRowGroupId new_id;
	uint32		file_rows;
	uint64		file_size;
	TimestampTz sealed_at;		/* when resealing: the last time */
	uint8	   *cached;			/* when resealing, by attno * nsegs + segment:
								 * OmenCached of the old version's chunk */
	XLogRecPtr *unproven;		/* in the background: see sealmemory.h */
	OmenFreezeState freeze;
	BlockState *blocks;
	BufferAccessStrategy strategy;	/* or NULL */
	SealScratch *scratch;
	MemoryContext mcxt;
} GroupSeal;

/* Is a page known to be one that cannot be sealed as it is? */
static inline bool
seal_is_unproven(GroupSeal *gs, int off, XLogRecPtr lsn)
{
	return gs->unproven != NULL && gs->unproven[off] == lsn &&
		!XLogRecPtrIsInvalid(lsn);
}

/* seal.c */
extern bool omen_seal_must_yield(GroupSeal *gs);

/*
 * Pin a page of the row group.  Each is pinned several times, and is mostly still
 * where it was: that saves the look-up.
 */
static inline Buffer
seal_read_block(GroupSeal *gs, int off)
{
	BlockState *state = &gs->blocks[off];

	if (!BufferIsValid(state->recent) ||
		!ReadRecentBuffer(gs->rel->rd_locator, MAIN_FORKNUM, gs->first + off,
						  state->recent))
		state->recent = ReadBufferExtended(gs->rel, MAIN_FORKNUM,
										   gs->first + off, RBM_NORMAL,
										   gs->strategy);
	return state->recent;
}

/* sealencode.c */
extern bool omen_seal_encode(GroupSeal *gs);
extern void omen_seal_warm(GroupSeal *gs);
extern void omen_seal_clock_start(SealClock *clock);
extern void omen_seal_clock_charge(SealClock *clock, SealPhase phase);
extern void omen_seal_clock_report(SealClock *clock, Relation rel,
								   const OmenSealStats *stats);

/* To the phase that ends here */
static inline void
seal_charge(GroupSeal *gs, SealPhase phase)
{
	if (gs->scratch->clock.runs)
		omen_seal_clock_charge(&gs->scratch->clock, phase);
}

#endif							/* OMENDB_SEALGROUP_H */
