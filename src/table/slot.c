/*-------------------------------------------------------------------------
 *
 * slot.c
 *	  The slots of our tables: heapam's, and rows of open segments in them.
 *
 * A slot of ours begins with heapam's slot for tuples in buffers and behaves like
 * one, by heapam's own functions.  Besides, it can hold a row of an open segment:
 * then values are taken from the column chunks when they are asked for, so that a
 * query pays for the columns it needs.  The heap tuple is formed only for those
 * who want one (system columns, copies, materialization).
 *
 * While it has such a row, the slot pins the segment; values may point into its
 * chunks.  If the tuple is formed without the slot being materialized, the pin is
 * kept, since somebody may hold values that were given out before.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "table/scan.h"

#include "utils/memutils.h"

typedef struct OmenSlot
{
	BufferHeapTupleTableSlot base;	/* must be first */
	bool		has_row;		/* of an open segment */
	bool		deform;			/* its values come from the formed tuple */
	OmenColdPin pin;			/* on the segment */
	int			block;			/* in the segment */
	uint32		row;			/* in the segment */
	struct SlotGuard *guard;	/* made when first needed */
	char	   *scratch;		/* copies of values that lie unaligned */
	Size		scratch_used;
	Size		scratch_size;
} OmenSlot;

/*
 * After an error, slots vanish with their memory, and nobody clears them.
 * Callbacks cannot be taken back, so they are not in the slot, which can be freed
 * by itself; the next slot in the same memory context takes the guard over, since
 * there are statements that make a slot for each row.
 */
typedef struct SlotGuard
{
	MemoryContextCallback callback;
	MemoryContext mcxt;
	OmenSlot   *slot;			/* NULL: has been released */
	dlist_node	node;			/* in spare_guards while slot is NULL */
} SlotGuard;

static dlist_head spare_guards = DLIST_STATIC_INIT(spare_guards);

TupleTableSlotOps omen_slot_ops;

static void
slot_vanishes(void *arg)
{
	SlotGuard  *guard = arg;

	if (guard->slot != NULL)
		omen_cold_unpin(&guard->slot->pin);
	else
		dlist_delete(&guard->node);
}

/* Have the slot's pin given back when its memory goes */
static void
guard_slot(OmenSlot *oslot)
{
	MemoryContext mcxt = oslot->base.base.base.tts_mcxt;
	SlotGuard  *guard = NULL;

	if (!dlist_is_empty(&spare_guards))
	{
		guard = dlist_head_element(SlotGuard, node, &spare_guards);
		if (guard->mcxt == mcxt)
			dlist_delete(&guard->node);
		else
			guard = NULL;
	}
	if (guard == NULL)
	{
		guard = MemoryContextAlloc(mcxt, sizeof(SlotGuard));
		guard->mcxt = mcxt;
		guard->callback.func = slot_vanishes;
		guard->callback.arg = guard;
		MemoryContextRegisterResetCallback(mcxt, &guard->callback);
	}
	guard->slot = oslot;
	oslot->guard = guard;
}

/* The segment, which is closed under us only at the end of a transaction */
static inline OmenSegmentReader *
slot_segment(OmenSlot *oslot)
{
	OmenSegmentReader *segment = oslot->pin.columns;

	if (unlikely(segment == NULL))
		elog(ERROR, "the row of a slot is gone with its transaction");
	return segment;
}

/* Give the row back */
static inline void
drop_row(OmenSlot *oslot)
{
	if (likely(!oslot->has_row))
		return;
	omen_cold_unpin(&oslot->pin);
	oslot->has_row = false;
	oslot->scratch_used = 0;
}

/* Form the row's tuple in the current memory context */
static HeapTuple
form_tuple(OmenSlot *oslot)
{
	TupleTableSlot *slot = &oslot->base.base.base;

	return omen_segment_form_tuple(slot_segment(oslot), oslot->block,
								   ItemPointerGetBlockNumber(&slot->tts_tid),
								   ItemPointerGetOffsetNumber(&slot->tts_tid),
								   slot->tts_tableOid);
}

/* Let the slot have its row's tuple; the row stays, and so do values */
static void
form_in_slot(OmenSlot *oslot)
{
	TupleTableSlot *slot = &oslot->base.base.base;
	MemoryContext oldcxt;

	if (oslot->base.base.tuple != NULL)
		return;
	oldcxt = MemoryContextSwitchTo(slot->tts_mcxt);
	oslot->base.base.tuple = form_tuple(oslot);
	slot->tts_flags |= TTS_FLAG_SHOULDFREE;
	MemoryContextSwitchTo(oldcxt);
}

/*
 * Copy a value to where any type can read it.  Scratch memory that was outgrown
 * is left to the slot's context, since values of the row may be in it.
 */
static Datum
copy_value(OmenSlot *oslot, const void *value, Size length)
{
	Size		start = MAXALIGN(oslot->scratch_used);

	if (unlikely(start + length > oslot->scratch_size))
	{
		Size		size = Max(oslot->scratch_size * 2, 1024);

		size = Max(size, MAXALIGN(length));
		oslot->scratch = MemoryContextAlloc(oslot->base.base.base.tts_mcxt,
											size);
		oslot->scratch_size = size;
		start = 0;
	}
	memcpy(oslot->scratch + start, value, length);
	oslot->scratch_used = start + length;
	return PointerGetDatum(oslot->scratch + start);
}

/* The value of an attribute as its type has it */
static inline Datum
value_datum(OmenSlot *oslot, Form_pg_attribute att, const OmenValue *value)
{
	if (value->pointer != NULL)
	{
		uintptr_t	place = (uintptr_t) value->pointer;

		if (value->pointer == value->built)
			return copy_value(oslot, value->built, value->length);

		/* in the chunk values follow each other without padding */
		if ((att->attlen == -1 && VARATT_IS_1B(value->pointer)) ||
			place == att_align_nominal(place, att->attalign))
			return PointerGetDatum(value->pointer);
		return copy_value(oslot, value->pointer, value->length);
	}
	if (att->attbyval)
	{
		switch (att->attlen)
		{
			case 1:
				return CharGetDatum((char) value->number);
			case 2:
				return Int16GetDatum((int16) value->number);
			case 4:
				return Int32GetDatum((int32) value->number);
			default:
				return Int64GetDatum((int64) value->number);
		}
	}
	switch (att->attlen)
	{
		case 1:
			{
				uint8		number = (uint8) value->number;

				return copy_value(oslot, &number, sizeof(number));
			}
		case 2:
			{
				uint16		number = (uint16) value->number;

				return copy_value(oslot, &number, sizeof(number));
			}
		case 4:
			{
				uint32		number = (uint32) value->number;

				return copy_value(oslot, &number, sizeof(number));
			}
		default:
			return copy_value(oslot, &value->number, sizeof(uint64));
	}
}

static void
tts_omen_init(TupleTableSlot *slot)
{
	OmenSlot   *oslot = (OmenSlot *) slot;

	memset((char *) oslot + sizeof(BufferHeapTupleTableSlot), 0,
		   sizeof(OmenSlot) - sizeof(BufferHeapTupleTableSlot));
	TTSOpsBufferHeapTuple.init(slot);
}

static void
tts_omen_release(TupleTableSlot *slot)
{
	OmenSlot   *oslot = (OmenSlot *) slot;

	drop_row(oslot);
	if (oslot->guard != NULL)
	{
		oslot->guard->slot = NULL;
		dlist_push_head(&spare_guards, &oslot->guard->node);
		oslot->guard = NULL;
	}
	if (oslot->scratch != NULL)
		pfree(oslot->scratch);
	oslot->scratch = NULL;
	oslot->scratch_size = 0;
	TTSOpsBufferHeapTuple.release(slot);
}

static void
tts_omen_clear(TupleTableSlot *slot)
{
	OmenSlot   *oslot = (OmenSlot *) slot;

	if (oslot->has_row)
	{
		drop_row(oslot);

		/* mostly there is nothing else in it */
		if (oslot->base.base.tuple == NULL)
		{
			Assert(!BufferIsValid(oslot->base.buffer));
			slot->tts_nvalid = 0;
			slot->tts_flags |= TTS_FLAG_EMPTY;
			ItemPointerSetInvalid(&slot->tts_tid);
			oslot->base.base.off = 0;
			return;
		}
	}
	TTSOpsBufferHeapTuple.clear(slot);
}

static void
tts_omen_getsomeattrs(TupleTableSlot *slot, int natts)
{
	OmenSlot   *oslot = (OmenSlot *) slot;
	TupleDesc	tupdesc = slot->tts_tupleDescriptor;
	OmenSegmentReader *segment;
	int			attnum;

	if (likely(!oslot->has_row) || oslot->deform)
	{
		TTSOpsBufferHeapTuple.getsomeattrs(slot, natts);
		return;
	}

	segment = slot_segment(oslot);
	natts = Min(natts, omen_segment_row_natts(segment, oslot->row));
	for (attnum = slot->tts_nvalid;; attnum++)
	{
		Form_pg_attribute att;
		OmenValue	value;

		if (attnum < natts)
			attnum = omen_segment_row_datums(segment, oslot->row, attnum,
											 natts, tupdesc, slot->tts_values,
											 slot->tts_isnull);
		if (attnum >= natts)
			break;
		att = TupleDescAttr(tupdesc, attnum);

		/*
		 * The tuple's bytes are what they are; for a descriptor that takes
		 * them for something else, do as heapam would.
		 */
		if (unlikely(omen_segment_attlen(segment, attnum) != att->attlen ||
					 (att->attbyval && att->attlen > (int) sizeof(Datum))))
		{
			form_in_slot(oslot);
			oslot->deform = true;
			oslot->base.base.off = 0;
			slot->tts_nvalid = 0;
			TTSOpsBufferHeapTuple.getsomeattrs(slot, natts);
			return;
		}

		if (omen_segment_value(segment, oslot->row, attnum, &value))
		{
			slot->tts_values[attnum] = value_datum(oslot, att, &value);
			slot->tts_isnull[attnum] = false;
		}
		else
		{
			slot->tts_values[attnum] = (Datum) 0;
			slot->tts_isnull[attnum] = true;
		}
	}
	slot->tts_nvalid = attnum;
}

static Datum
tts_omen_getsysattr(TupleTableSlot *slot, int attnum, bool *isnull)
{
	HeapTuple	tuple;

	if (((OmenSlot *) slot)->has_row)
		form_in_slot((OmenSlot *) slot);

	/*
	 * A tuple that was formed of values has no such columns.  The executor does
	 * so with rows that an ordered index scan has put aside: see syscolumns.c.
	 */
	tuple = ((BufferHeapTupleTableSlot *) slot)->base.tuple;
	if (tuple != NULL && !ItemPointerIsValid(&tuple->t_self))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot retrieve a system column in this context")));
	return TTSOpsBufferHeapTuple.getsysattr(slot, attnum, isnull);
}

static void
tts_omen_materialize(TupleTableSlot *slot)
{
	OmenSlot   *oslot = (OmenSlot *) slot;

	if (oslot->has_row)
	{
		form_in_slot(oslot);
		drop_row(oslot);
		oslot->base.base.off = 0;
		slot->tts_nvalid = 0;
	}
	TTSOpsBufferHeapTuple.materialize(slot);
}

static void
tts_omen_copyslot(TupleTableSlot *dstslot, TupleTableSlot *srcslot)
{
	if (((OmenSlot *) dstslot)->has_row)
		ExecClearTuple(dstslot);
	TTSOpsBufferHeapTuple.copyslot(dstslot, srcslot);

	/* heapam's slots do so for tuples in buffers, but not for others */
	if (omen_slot_is_ours(srcslot))
		dstslot->tts_tid = srcslot->tts_tid;
}

static HeapTuple
tts_omen_get_heap_tuple(TupleTableSlot *slot)
{
	if (((OmenSlot *) slot)->has_row)
		form_in_slot((OmenSlot *) slot);
	return TTSOpsBufferHeapTuple.get_heap_tuple(slot);
}

static HeapTuple
tts_omen_copy_heap_tuple(TupleTableSlot *slot)
{
	OmenSlot   *oslot = (OmenSlot *) slot;

	if (oslot->has_row && oslot->base.base.tuple == NULL)
		return form_tuple(oslot);
	return TTSOpsBufferHeapTuple.copy_heap_tuple(slot);
}

static MinimalTuple
tts_omen_copy_minimal_tuple(TupleTableSlot *slot OMEN_EXTRA_PARAM)
{
	OmenSlot   *oslot = (OmenSlot *) slot;

	if (oslot->has_row && oslot->base.base.tuple == NULL)
	{
		MemoryContext oldcxt = MemoryContextSwitchTo(slot->tts_mcxt);
		HeapTuple	tuple = form_tuple(oslot);
		MinimalTuple copy;

		/* a sort's context may be one in which nothing can be freed */
		MemoryContextSwitchTo(oldcxt);
		copy = minimal_tuple_from_heap_tuple(tuple OMEN_EXTRA);
		heap_freetuple(tuple);
		return copy;
	}
	return TTSOpsBufferHeapTuple.copy_minimal_tuple(slot OMEN_EXTRA);
}

static bool
tts_omen_is_current_xact_tuple(TupleTableSlot *slot)
{
	if (((OmenSlot *) slot)->has_row)
		return false;			/* frozen */
	return omen_buffer_slot_is_current_xact_tuple(slot);
}

/* See table.h */
const TupleTableSlotOps *
omen_slot_callbacks(Relation rel)
{
	if (unlikely(omen_slot_ops.base_slot_size == 0))
	{
		/* a copy, since there are more of them in some majors */
		TupleTableSlotOps ops = TTSOpsBufferHeapTuple;

		ops.base_slot_size = sizeof(OmenSlot);
		ops.init = tts_omen_init;
		ops.release = tts_omen_release;
		ops.clear = tts_omen_clear;
		ops.getsomeattrs = tts_omen_getsomeattrs;
		ops.getsysattr = tts_omen_getsysattr;
		ops.materialize = tts_omen_materialize;
		ops.copyslot = tts_omen_copyslot;
		ops.get_heap_tuple = tts_omen_get_heap_tuple;
		ops.copy_heap_tuple = tts_omen_copy_heap_tuple;
		ops.copy_minimal_tuple = tts_omen_copy_minimal_tuple;
		omen_set_is_current_xact_tuple(&ops, tts_omen_is_current_xact_tuple);
		omen_slot_ops = ops;
	}
	return &omen_slot_ops;
}

/* ------------------------------------------------------------------------
 * Storing rows
 * ------------------------------------------------------------------------
 */

static inline void
check_slot(TupleTableSlot *slot)
{
	if (unlikely(!omen_slot_is_ours(slot)))
		elog(ERROR, "trying to store a row of an omendb table into wrong type of slot");
}

/* See scan.h */
void
omen_slot_store_buffer(HeapTuple tuple, TupleTableSlot *slot, Buffer buffer,
					   bool transfer_pin)
{
	BufferHeapTupleTableSlot *bslot = (BufferHeapTupleTableSlot *) slot;

	/* as tts_buffer_heap_store_tuple(), which is static */
	Assert(BufferIsValid(buffer));
	check_slot(slot);
	drop_row((OmenSlot *) slot);
	if (TTS_SHOULDFREE(slot))
	{
		Assert(!BufferIsValid(bslot->buffer));
		heap_freetuple(bslot->base.tuple);
		slot->tts_flags &= ~TTS_FLAG_SHOULDFREE;
	}
	slot->tts_flags &= ~TTS_FLAG_EMPTY;
	slot->tts_nvalid = 0;
	bslot->base.tuple = tuple;
	bslot->base.off = 0;
	slot->tts_tid = tuple->t_self;
	slot->tts_tableOid = tuple->t_tableOid;

	/* often the same page as before: keep its pin then */
	if (bslot->buffer != buffer)
	{
		if (BufferIsValid(bslot->buffer))
			ReleaseBuffer(bslot->buffer);
		bslot->buffer = buffer;
		if (!transfer_pin)
			IncrBufferRefCount(buffer);
	}
	else if (transfer_pin)
		ReleaseBuffer(buffer);
}

/* See scan.h */
void
omen_slot_store_owned(TupleTableSlot *slot, HeapTuple tuple)
{
	BufferHeapTupleTableSlot *bslot = (BufferHeapTupleTableSlot *) slot;

	check_slot(slot);
	ExecClearTuple(slot);
	slot->tts_flags &= ~TTS_FLAG_EMPTY;
	slot->tts_flags |= TTS_FLAG_SHOULDFREE;
	bslot->base.tuple = tuple;
	slot->tts_tid = tuple->t_self;
	slot->tts_tableOid = tuple->t_tableOid;
}

/* See scan.h */
void
omen_slot_store_copy(TupleTableSlot *slot, HeapTuple tuple)
{
	MemoryContext oldcxt;
	HeapTuple	copy;

	/* give back the memory of the previous row first, it is likely to fit */
	ExecClearTuple(slot);
	oldcxt = MemoryContextSwitchTo(slot->tts_mcxt);
	copy = heap_copytuple(tuple);
	MemoryContextSwitchTo(oldcxt);
	omen_slot_store_owned(slot, copy);
}

/* See scan.h */
OmenSegmentReader *
omen_slot_row_segment(TupleTableSlot *slot, OmenColdReader *reader)
{
	OmenSlot   *oslot = (OmenSlot *) slot;

	return oslot->has_row && oslot->base.base.tuple == NULL &&
		omen_cold_pin_is_current(reader, &oslot->pin) ?
		oslot->pin.columns : NULL;
}

/* See scan.h */
void
omen_slot_store_row(TupleTableSlot *slot, OmenColdReader *reader, int block,
					uint32 row, BlockNumber blk, OffsetNumber off, Oid tableoid)
{
	OmenSlot   *oslot = (OmenSlot *) slot;

	check_slot(slot);
	if (unlikely(oslot->guard == NULL))
		guard_slot(oslot);

	if (omen_slot_row_segment(slot, reader) != NULL)
	{
		/* the next row of the same segment */
		slot->tts_nvalid = 0;
		oslot->base.base.off = 0;
		oslot->scratch_used = 0;
		goto pinned;
	}
	if (!TTS_EMPTY(slot))
		ExecClearTuple(slot);
	if (unlikely(!omen_cold_pin(reader, &oslot->pin)))
	{
		MemoryContext oldcxt = MemoryContextSwitchTo(slot->tts_mcxt);
		HeapTuple	tuple;

		tuple = omen_segment_form_tuple(omen_cold_reader_current(reader),
										block, blk, off, tableoid);
		MemoryContextSwitchTo(oldcxt);
		omen_slot_store_owned(slot, tuple);
		return;
	}
	oslot->has_row = true;
pinned:
	oslot->deform = false;
	oslot->block = block;
	oslot->row = row;
	slot->tts_flags &= ~TTS_FLAG_EMPTY;
	ItemPointerSet(&slot->tts_tid, blk, off);
	slot->tts_tableOid = tableoid;
}

/* See scan.h */
HeapTuple
omen_slot_tuple(TupleTableSlot *slot)
{
	Assert(omen_slot_is_ours(slot) && !TTS_EMPTY(slot));
	if (((OmenSlot *) slot)->has_row)
		form_in_slot((OmenSlot *) slot);
	return ((BufferHeapTupleTableSlot *) slot)->base.tuple;
}
