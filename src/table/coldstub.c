/*-------------------------------------------------------------------------
 *
 * coldstub.c
 *	  Stands in for sealing while it is being written: nothing is ever cold.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "table/table.h"

void
omen_group_copy_init(OmenGroupCopy *copy)
{
	memset(copy, 0, sizeof(*copy));
	copy->first_block = InvalidBlockNumber;
}

void
omen_group_copy_load(OmenGroupCopy *copy, Relation rel, BlockNumber blk,
					 BufferAccessStrategy strategy)
{
	copy->first_block = OmenGroupFirstBlock(blk);
	copy->sealed = false;
}

void
omen_group_copy_release(OmenGroupCopy *copy)
{
	copy->first_block = InvalidBlockNumber;
	copy->sealed = false;
}

struct OmenColdReader
{
	int			unused;
};

OmenColdReader *
omen_cold_reader_create(Relation rel, bool for_scan, MemoryContext mcxt)
{
	return MemoryContextAllocZero(mcxt, sizeof(OmenColdReader));
}

void
omen_cold_reader_close(OmenColdReader *reader)
{
	pfree(reader);
}

void
omen_cold_reader_reset(OmenColdReader *reader)
{
}

OmenSegmentReader *
omen_cold_reader_segment(OmenColdReader *reader, const OmenGroupCopy *copy,
						 BlockNumber blk, int *block)
{
	elog(ERROR, "no cold pages yet");
}

void
omen_cold_reader_page(OmenColdReader *reader, const OmenGroupCopy *copy,
					  BlockNumber blk, Page page)
{
	elog(ERROR, "no cold pages yet");
}

void
omen_count_scan_blocks(uint64 cold, uint64 hot)
{
}

Buffer
omen_read_buffer_hot(Relation rel, BlockNumber blk)
{
	return ReadBuffer(rel, blk);
}

void
omen_relation_copy_data(Relation rel, const RelFileNode *newrnode)
{
	GetHeapamTableAmRoutine()->relation_copy_data(rel, newrnode);
}

void
omen_relation_vacuum(Relation rel, struct VacuumParams *params,
					 BufferAccessStrategy bstrategy)
{
	GetHeapamTableAmRoutine()->relation_vacuum(rel, params, bstrategy);
}

void
omen_reserve_header_page(Relation rel, BlockNumber inserted_blk)
{
}
