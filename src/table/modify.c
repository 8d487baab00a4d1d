/*-------------------------------------------------------------------------
 *
 * modify.c
 *	  Insert, delete, update and lock rows.
 *
 * Whatever modifies or locks a row makes its page hot first, and keeps the page
 * pinned until heapam is done: a sealer needs a cleanup lock, so the page stays
 * hot.  The rest is heapam's, which never sees a cold TID.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "table/modify.h"

#include "access/hio.h"
#include "access/xact.h"
#include "compat_heap.h"
#include "executor/tuptable.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "table/damage.h"
#include "table/reclaim.h"
#include "table/scan.h"

/*
 * Blocks that our transaction has put a row into, after which it was seen that
 * their pages are not lost ones.  Our own row keeps such a page from being
 * sealed, and so from being lost as a cold one, while we run.
 */
typedef struct Landing
{
	RelFileLocator locator;
	BlockNumber blk;
	TransactionId xid;			/* of the top transaction */
} Landing;

#define LANDINGS	16
static Landing landings[LANDINGS];

static void
check_landing(Relation rel, BlockNumber blk, BulkInsertState bistate,
			  Landing *landing)
{
	/* what is not permanent, or was made just now, has no sealed row groups */
	if (rel->rd_rel->relpersistence != RELPERSISTENCE_PERMANENT ||
		rel->rd_createSubid != InvalidSubTransactionId)
		return;
	omen_check_landing(rel, blk, bistate ? bistate->strategy : NULL);
	landing->locator = rel->rd_locator;
	landing->blk = blk;
	landing->xid = GetTopTransactionId();
}

/*
 * A row was put at tid.  It must not be on a lost page.  When it is the first
 * one in a block before a header page to be, that can still be had for nothing.
 */
static inline void
note_insertion(Relation rel, ItemPointer tid, BulkInsertState bistate)
{
	BlockNumber blk = ItemPointerGetBlockNumberNoCheck(tid);
	Landing    *landing = &landings[rel->rd_id % LANDINGS];

	if (unlikely(landing->blk != blk ||
				 landing->xid != GetTopTransactionIdIfAny() ||
				 !RelFileLocatorEquals(landing->locator, rel->rd_locator)))
		check_landing(rel, blk, bistate, landing);

	if (unlikely(OmenReserveAfter(blk)) &&
		ItemPointerGetOffsetNumberNoCheck(tid) == FirstOffsetNumber)
		omen_reserve_header_page(rel, blk);
}

/*
 * Pin the page of a row that will be modified, and make it hot.  Temporary
 * tables have no cold pages.
 *
 * Rows of one page are often modified one after the other, so look first where
 * the page was the last time; that saves a look into the buffer table.
 */
static Buffer
pin_hot(Relation rel, ItemPointer tid)
{
	static Buffer recent = InvalidBuffer;
	BlockNumber blk = ItemPointerGetBlockNumber(tid);

	if (RelationUsesLocalBuffers(rel))
		return InvalidBuffer;

	if (BufferIsValid(recent) &&
		ReadRecentBuffer(rel->rd_locator, MAIN_FORKNUM, blk, recent))
	{
		omen_thaw_buffer(rel, recent, ItemPointerGetOffsetNumber(tid));
		return recent;
	}
	recent = ReadBuffer(rel, blk);
	omen_thaw_buffer(rel, recent, ItemPointerGetOffsetNumber(tid));
	return recent;
}

static inline void
unpin_hot(Buffer buf)
{
	if (likely(BufferIsValid(buf)))
		ReleaseBuffer(buf);
}

static void
insert_slot(Relation rel, TupleTableSlot *slot, CommandId cid, int options,
			BulkInsertState bistate, uint32 spec_token)
{
	bool		should_free = true;
	HeapTuple	tuple = ExecFetchSlotHeapTuple(slot, true, &should_free);

	slot->tts_tableOid = RelationGetRelid(rel);
	tuple->t_tableOid = slot->tts_tableOid;
	if (options & HEAP_INSERT_SPECULATIVE)
		HeapTupleHeaderSetSpeculativeToken(tuple->t_data, spec_token);

	if (bistate == NULL)
		(void) omen_vet_target(rel, tuple->t_len);
	else
		(void) omen_vet_targets(rel, &slot, 1, bistate, &options);
	OMEN_STOP_EVENT("insert-vetted");
	heap_insert(rel, tuple, cid, options, bistate);
	OMEN_STOP_EVENT("insert-unchecked");
	ItemPointerCopy(&tuple->t_self, &slot->tts_tid);

	if (should_free)
		pfree(tuple);

	note_insertion(rel, &slot->tts_tid, bistate);
}

/* See modify.h */
void
omen_tuple_insert(Relation rel, TupleTableSlot *slot, CommandId cid,
				  int options, BulkInsertState bistate)
{
	insert_slot(rel, slot, cid, options, bistate, 0);
}

/* See modify.h */
void
omen_tuple_insert_speculative(Relation rel, TupleTableSlot *slot,
							  CommandId cid, int options,
							  BulkInsertState bistate, uint32 spec_token)
{
	insert_slot(rel, slot, cid, options | HEAP_INSERT_SPECULATIVE, bistate,
				spec_token);
}

/*
 * How many of these rows may go to heap_multi_insert() in one call?  It may fill
 * many pages, and so a header page to be before note_insertion() can do
 * anything.  When it could come near one, we give it less than half a page.
 */
static int
rows_before_header(Relation rel, TupleTableSlot **slots, int ntuples,
				   BulkInsertState bistate)
{
	BlockNumber blk = InvalidBlockNumber;
	BlockNumber header;
	Size		room;
	Size		bytes = 0;
	int			half_page = 0;

	if (bistate != NULL && BufferIsValid(bistate->current_buf))
		blk = BufferGetBlockNumber(bistate->current_buf);
	else
		blk = RelationGetTargetBlock(rel);
	if (blk == InvalidBlockNumber)
		blk = RelationGetNumberOfBlocks(rel);
	header = omen_next_header_block(rel, blk);
	if (header == InvalidBlockNumber || ntuples < header - blk)
		return ntuples;

	/* of a page; less than that half of it is left over if a row is too long */
	room = BLCKSZ - SizeOfPageHeaderData -
		RelationGetTargetPageFreeSpace(rel, HEAP_DEFAULT_FILLFACTOR);
	for (int i = 0; i < ntuples; i++)
	{
		HeapTuple	tuple = ExecFetchSlotHeapTuple(slots[i], true, NULL);

		/* what is longer will be toasted, but hardly to nothing */
		bytes += MAXALIGN(tuple->t_len) + sizeof(ItemIdData);
		if (bytes <= room / 2 || i == 0)
			half_page = i + 1;
	}
	if (bytes / (room / 2) + 2 < header - blk)
		return ntuples;
	return half_page;
}

/* See modify.h */
void
omen_multi_insert(Relation rel, TupleTableSlot **slots, int ntuples,
				  CommandId cid, int options, BulkInsertState bistate)
{
	int			done = 0;

	while (done < ntuples)
	{
		int			how = options;
		int			n;

		n = omen_vet_targets(rel, slots + done, ntuples - done, bistate, &how);
		n = rows_before_header(rel, slots + done, n, bistate);
		heap_multi_insert(rel, slots + done, n, cid, how, bistate);
		for (int i = done; i < done + n; i++)
			note_insertion(rel, &slots[i]->tts_tid, bistate);
		done += n;
	}
}

/* See table.h */
TM_Result
omen_tuple_delete(Relation rel, ItemPointer tid, CommandId cid,
				  Snapshot snapshot, Snapshot crosscheck, bool wait,
				  TM_FailureData *tmfd, bool changingPart)
{
	Buffer		buf = pin_hot(rel, tid);
	TM_Result	result;

	result = heap_delete(rel, tid, cid, crosscheck, wait, tmfd, changingPart);
	unpin_hot(buf);
	return result;
}

/* See table.h */
TM_Result
omen_tuple_update(Relation rel, ItemPointer otid, TupleTableSlot *slot,
				  CommandId cid, Snapshot snapshot, Snapshot crosscheck,
				  bool wait, TM_FailureData *tmfd, LockTupleMode *lockmode,
				  TU_UpdateIndexes *update_indexes)
{
	bool		should_free = true;
	HeapTuple	tuple = ExecFetchSlotHeapTuple(slot, true, &should_free);
	Buffer		buf;
	TM_Result	result;

	slot->tts_tableOid = RelationGetRelid(rel);
	tuple->t_tableOid = slot->tts_tableOid;

	buf = pin_hot(rel, otid);
	/* at a glance: will the new version have to go elsewhere? */
	if (BufferIsValid(buf) &&
		PageGetHeapFreeSpace(BufferGetPage(buf)) < MAXALIGN(tuple->t_len))
		(void) omen_vet_target(rel, tuple->t_len);
	omen_forget_room();
	result = omen_heap_update(rel, otid, tuple, cid, crosscheck, wait, tmfd,
							  lockmode, update_indexes);
	unpin_hot(buf);
	ItemPointerCopy(&tuple->t_self, &slot->tts_tid);

	if (should_free)
		pfree(tuple);

	/* the old version's page was looked at */
	if (result == TM_Ok &&
		ItemPointerGetBlockNumber(&slot->tts_tid) !=
		ItemPointerGetBlockNumber(otid))
		note_insertion(rel, &slot->tts_tid, NULL);
	return result;
}

/*
 * Wait for another transaction that updates a row version we are to lock.
 * Returns false if the policy says to skip the row instead.
 */
static bool
wait_for_updater(Relation rel, TransactionId xid, ItemPointer tid,
				 LockWaitPolicy wait_policy)
{
	switch (wait_policy)
	{
		case LockWaitBlock:
			XactLockTableWait(xid, rel, tid, XLTW_FetchUpdated);
			break;
		case LockWaitSkip:
			if (!omen_xact_lock_wait_conditional(xid))
				return false;
			break;
		case LockWaitError:
			if (!omen_xact_lock_wait_conditional(xid))
				ereport(ERROR,
						(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
						 errmsg("could not obtain lock on row in relation \"%s\"",
								RelationGetRelationName(rel))));
			break;
	}
	return true;
}

/*
 * The row version at *tid was updated: go to the last version of the row.
 *
 * Returns TM_Ok with *tid set to a version that is worth trying to lock,
 * TM_Deleted if there is none, TM_WouldBlock, or TM_SelfModified (tmfd says
 * why).
 */
static TM_Result
find_last_version(Relation rel, ItemPointer tid, HeapTuple tuple,
				  CommandId cid, LockWaitPolicy wait_policy,
				  TM_FailureData *tmfd)
{
	SnapshotData dirty;
	TransactionId prior_xmax = tmfd->xmax;

	*tid = tmfd->ctid;
	tmfd->traversed = true;

	InitDirtySnapshot(dirty);
	for (;;)
	{
		Buffer		buf;
		bool		found;
		bool		cold;

		if (ItemPointerIndicatesMovedPartitions(tid))
			ereport(ERROR,
					(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
					 errmsg("tuple to be locked was already moved to another partition due to concurrent update")));

		tuple->t_self = *tid;
		found = omen_heap_fetch(rel, &dirty, tuple, &buf, true, &cold);

		/*
		 * Nothing there, or another row, whose xmin does not match: the row's
		 * last version was deleted and its place reused.  What is cold is
		 * frozen, so it matches no xmax.  (xmin may be read without a lock:
		 * it only ever becomes invalid or frozen, which match neither.)
		 */
		if (cold || tuple->t_data == NULL)
		{
			Assert(!BufferIsValid(buf));
			return TM_Deleted;
		}
		if (!TransactionIdEquals(HeapTupleHeaderGetXmin(tuple->t_data),
								 prior_xmax))
		{
			ReleaseBuffer(buf);
			return TM_Deleted;
		}

		if (found)
		{
			/* the updater whose xmax led us here has committed */
			if (TransactionIdIsValid(dirty.xmin))
				ereport(ERROR,
						(errcode(ERRCODE_DATA_CORRUPTED),
						 errmsg_internal("t_xmin %u is uncommitted in tuple (%u,%u) to be updated in table \"%s\"",
										 dirty.xmin,
										 ItemPointerGetBlockNumber(&tuple->t_self),
										 ItemPointerGetOffsetNumber(&tuple->t_self),
										 RelationGetRelationName(rel))));

			if (TransactionIdIsValid(dirty.xmax))
			{
				ReleaseBuffer(buf);
				if (!wait_for_updater(rel, dirty.xmax, &tuple->t_self,
									  wait_policy))
					return TM_WouldBlock;
				continue;
			}

			/*
			 * Inserted by our own transaction, but not by an earlier command:
			 * to our command it does not exist, and heap_lock_tuple() would
			 * complain.
			 */
			if (TransactionIdIsCurrentTransactionId(prior_xmax) &&
				HeapTupleHeaderGetCmin(tuple->t_data) >= cid)
			{
				tmfd->xmax = prior_xmax;
				tmfd->cmax = HeapTupleHeaderGetCmin(tuple->t_data);
				ReleaseBuffer(buf);
				return TM_SelfModified;
			}

			ReleaseBuffer(buf);
			return TM_Ok;
		}

		/*
		 * Updated or deleted by somebody who committed, or by ourselves: xmax
		 * and the link cannot change any more, so the pin is enough to read
		 * them.
		 */
		if (ItemPointerEquals(&tuple->t_self, &tuple->t_data->t_ctid))
		{
			ReleaseBuffer(buf);
			return TM_Deleted;
		}
		*tid = tuple->t_data->t_ctid;
		prior_xmax = HeapTupleHeaderGetUpdateXid(tuple->t_data);
		ReleaseBuffer(buf);
	}
}

/* See table.h */
TM_Result
omen_tuple_lock(Relation rel, ItemPointer tid, Snapshot snapshot,
				TupleTableSlot *slot, CommandId cid, LockTupleMode mode,
				LockWaitPolicy wait_policy, uint8 flags,
				TM_FailureData *tmfd)
{
	BufferHeapTupleTableSlot *bslot = (BufferHeapTupleTableSlot *) slot;
	HeapTuple	tuple = &bslot->base.tupdata;
	bool		follow_updates;
	TM_Result	result;
	Buffer		buf;

	Assert(omen_slot_is_ours(slot));

	follow_updates = (flags & TUPLE_LOCK_FLAG_LOCK_UPDATE_IN_PROGRESS) != 0;
	tmfd->traversed = false;

	/*
	 * ExecCopySlot() of a slot that owns its tuple, as that of a cold row does,
	 * copies the tuple with its t_self, but leaves tts_tid invalid.  And
	 * RelationFindReplTupleSeq() asks for the row in just such a copy.
	 */
	if (unlikely(!ItemPointerIsValid(tid)) && tid == &slot->tts_tid &&
		bslot->base.tuple != NULL)
		*tid = bslot->base.tuple->t_self;

	for (;;)
	{
		Buffer		hot = pin_hot(rel, tid);

		tuple->t_self = *tid;
		result = heap_lock_tuple(rel, tuple, cid, mode, wait_policy,
								 follow_updates, &buf, tmfd);
		unpin_hot(hot);

		if (result != TM_Updated ||
			!(flags & TUPLE_LOCK_FLAG_FIND_LAST_VERSION))
			break;

		/* Should not encounter speculative tuple on recheck */
		Assert(!HeapTupleHeaderIsSpeculative(tuple->t_data));
		ReleaseBuffer(buf);

		/* without a link the row was deleted */
		if (ItemPointerEquals(&tmfd->ctid, &tuple->t_self))
			return TM_Deleted;

		result = find_last_version(rel, tid, tuple, cid, wait_policy, tmfd);
		if (result != TM_Ok)
			return result;
	}

	slot->tts_tableOid = RelationGetRelid(rel);
	tuple->t_tableOid = slot->tts_tableOid;

	/* store in slot, transferring the pin */
	omen_slot_store_buffer(tuple, slot, buf, true);
	return result;
}
