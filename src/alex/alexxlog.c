/*-------------------------------------------------------------------------
 *
 * alexxlog.c
 *	  The resource manager of alex: redo, description, consistency masks.
 *
 * Records are small and logical: slots, bitmaps and models that the primary
 * decided on.  Redo moves entries with the primary's own functions and
 * evaluates no floating point, so both end with the same bytes.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "alex/alex.h"

#include "access/bufmask.h"
#include "access/xlog.h"
#include "access/xlog_internal.h"
#include "access/xlogutils.h"
#include "storage/procarray.h"
#include "storage/standby.h"
#include "utils/memutils.h"

static MemoryContext redo_context = NULL;

/* Set LSN and dirty flag of a page that redo has changed. */
static void
done_with(XLogReaderState *record, Buffer buf)
{
	PageSetLSN(BufferGetPage(buf), record->EndRecPtr);
	MarkBufferDirty(buf);
}

static void
release(Buffer buf)
{
	if (BufferIsValid(buf))
		UnlockReleaseBuffer(buf);
}

static void
redo_insert(XLogReaderState *record)
{
	Buffer		buf;

	if (XLogReadBufferForRedo(record, 0, &buf) == BLK_NEEDS_REDO)
	{
		Size		size;
		char	   *data = XLogRecGetBlockData(record, 0, &size);
		xl_alex_insert xlrec;
		AlexPayload payload = ALEX_NO_PAYLOAD;

		memcpy(&xlrec, data, sizeof(xlrec));
		if (size > sizeof(xlrec))
		{
			payload.data = data + sizeof(xlrec);
			payload.size = size - sizeof(xlrec);
		}
		alex_leaf_insert(BufferGetPage(buf), &xlrec.place,
						 (uint64) xlrec.image_high << 32 | xlrec.image_low,
						 alex_tid_pack(&xlrec.tid), payload);
		done_with(record, buf);
	}
	release(buf);
}

static void
redo_insert_run(XLogReaderState *record)
{
	Buffer		buf;

	if (XLogReadBufferForRedo(record, 0, &buf) == BLK_NEEDS_REDO)
	{
		Size		size;
		const char *data = XLogRecGetBlockData(record, 0, &size);
		const char *end = data + size;
		AlexRun		run = alex_run_begin();

		while (data < end)
		{
			alex_run_get(&data, &run);
			alex_leaf_insert(BufferGetPage(buf), &run.place, run.image,
							 run.tid, run.payload);
		}
		done_with(record, buf);
	}
	release(buf);
}

static void
redo_rebuild(XLogReaderState *record)
{
	Buffer		buf;

	if (XLogReadBufferForRedo(record, 0, &buf) == BLK_NEEDS_REDO)
	{
		Page		page = BufferGetPage(buf);
		Size		size;
		char	   *data = XLogRecGetBlockData(record, 0, &size);
		AlexLayout	layout;
		AlexItem   *items = palloc(ALEX_MAX_ENTRIES * sizeof(AlexItem));
		PGAlignedBlock image;

		memset(&layout, 0, sizeof(layout));
		memcpy(&layout, data, Min(size, sizeof(layout)));
		alex_leaf_gather(page, items);
		memcpy(image.data, page, BLCKSZ);
		alex_leaf_fill((Page) image.data, &layout, items);
		alex_page_replace(page, image.data);
		done_with(record, buf);
	}
	release(buf);
}

/* Take apart what alex_pack_items packed. */
static AlexItem *
unpack_items(const char *data, AlexLayout *layout)
{
	AlexItem   *items;
	const char *p = data;
	bool		grouped;

	memset(layout, 0, sizeof(AlexLayout));
	memcpy(layout, p, offsetof(AlexLayout, used));
	grouped = (layout->flags & ALEX_LEAF_GROUPED) != 0;
	if (layout->nslots > (grouped ? ALEX_MAX_GROUPED : ALEX_MAX_SLOTS) ||
		layout->nitems > layout->nslots)
		elog(PANIC, "invalid layout in alex split record");
	memcpy(layout, p, alex_layout_size(layout));
	p += alex_layout_size(layout);
	items = palloc0(Max(layout->nitems, 1) * sizeof(AlexItem));
	if (grouped)
	{
		alex_group_unpack(p, items, layout->nitems);
		return items;
	}
	for (int i = 0; i < layout->nitems; i++)
	{
		memcpy(&items[i].image, p, sizeof(uint64));
		p += sizeof(uint64);
	}
	for (int i = 0; i < layout->nitems; i++)
	{
		ItemPointerData tid;

		memcpy(&tid, p, sizeof(tid));
		items[i].tid = alex_tid_pack(&tid);
		p += sizeof(tid);
	}
	if (layout->flags & ALEX_LEAF_PAYLOAD)
	{
		for (int i = 0; i < layout->nitems; i++)
		{
			uint16		len;

			memcpy(&len, p, sizeof(len));
			p += sizeof(len);
			if (len > 0)
			{
				items[i].payload.data = (char *) p;
				items[i].payload.size = len;
				p += len;
			}
		}
	}
	return items;
}

/*
 * Splits keep left, right and the old right sibling locked together, as the
 * primary did: a reader moving right finds the links and bounds in order.
 */
static void
redo_split(XLogReaderState *record, bool leaf)
{
	xl_alex_split *xlrec = (xl_alex_split *) XLogRecGetData(record);
	Buffer		lbuf;
	Buffer		rbuf;
	Buffer		fbuf = InvalidBuffer;
	PGAlignedBlock image;
	Page		rpage = (Page) image.data;
	XLogRedoAction action;
	char	   *data;
	IndexTuple	septup = NULL;
	IndexTuple	hightup = NULL;

	action = XLogReadBufferForRedo(record, 0, &lbuf);

	/* the right page comes from the record alone */
	rbuf = XLogInitBufferForRedo(record, 1);
	data = XLogRecGetBlockData(record, 1, NULL);
	memset(image.data, 0, BLCKSZ);
	alex_page_init(rpage, leaf ? ALEX_PAGE_GAPPED : ALEX_PAGE_INNER,
				   xlrec->level, xlrec->incarnation);
	if (xlrec->wide)
	{
		const char *p = XLogRecGetData(record) + sizeof(xl_alex_split);

		alex_wide_init(rpage);
		septup = alex_read_tuple(&p);
		hightup = alex_read_tuple(&p);
	}
	alex_set_low(rpage, xlrec->sep, septup);
	alex_set_high(rpage, xlrec->high, hightup);
	alex_opaque(rpage)->left = xlrec->left;
	alex_opaque(rpage)->right = xlrec->farright;
	if (leaf)
	{
		AlexLayout	layout;
		AlexItem   *items = unpack_items(data, &layout);

		alex_leaf(rpage)->class = xlrec->class;
		alex_leaf_fill(rpage, &layout, items);
	}
	else if (xlrec->wide)
		memcpy(image.data, data, BLCKSZ);
	else
	{
		Size		size;
		int			n;

		(void) XLogRecGetBlockData(record, 1, &size);
		n = size / (2 * sizeof(uint64) + sizeof(BlockNumber));
		alex_inner(rpage)->nitems = n;
		memcpy(alex_inner_images(rpage), data, n * sizeof(uint64));
		data += n * sizeof(uint64);
		memcpy(alex_inner_rests(rpage), data, n * sizeof(uint64));
		data += n * sizeof(uint64);
		memcpy(alex_inner_children(rpage), data, n * sizeof(BlockNumber));
	}
	alex_page_replace(BufferGetPage(rbuf), image.data);
	done_with(record, rbuf);

	if (action == BLK_NEEDS_REDO)
	{
		Page		page = BufferGetPage(lbuf);

		if (leaf)
		{
			AlexLayout	layout;
			AlexItem   *items = palloc(ALEX_MAX_ENTRIES * sizeof(AlexItem));
			Size		size;

			data = XLogRecGetBlockData(record, 0, &size);
			memset(&layout, 0, sizeof(layout));
			memcpy(&layout, data, Min(size, sizeof(layout)));
			alex_leaf_gather(page, items);
			memcpy(image.data, page, BLCKSZ);
			alex_set_high((Page) image.data, xlrec->sep, septup);
			/* the first of the old entries stay */
			alex_leaf_fill((Page) image.data, &layout, items);
			alex_page_replace(page, image.data);
			alex_opaque(page)->cycleid = 0;
			alex_opaque(page)->flags &= ~ALEX_SPLIT_END;
		}
		else
			alex_inner_cut_left(page, xlrec->firstright, xlrec->sep, septup);
		alex_opaque(page)->right = xlrec->right;
		alex_opaque(page)->flags |= ALEX_INCOMPLETE_SPLIT;
		done_with(record, lbuf);
	}

	if (xlrec->farright != InvalidBlockNumber)
	{
		if (XLogReadBufferForRedo(record, 2, &fbuf) == BLK_NEEDS_REDO)
		{
			alex_opaque(BufferGetPage(fbuf))->left = xlrec->right;
			done_with(record, fbuf);
		}
	}
	release(fbuf);
	release(rbuf);
	release(lbuf);
}

/* The split of the page in the given block of the record is complete. */
static void
redo_complete_split(XLogReaderState *record, uint8 block_id)
{
	Buffer		buf;

	if (XLogReadBufferForRedo(record, block_id, &buf) == BLK_NEEDS_REDO)
	{
		alex_opaque(BufferGetPage(buf))->flags &= ~ALEX_INCOMPLETE_SPLIT;
		done_with(record, buf);
	}
	release(buf);
}

static void
redo_insert_inner(XLogReaderState *record)
{
	xl_alex_insert_inner *xlrec =
		(xl_alex_insert_inner *) XLogRecGetData(record);
	const char *p = (const char *) (xlrec + 1);
	IndexTuple	tup = xlrec->wide ? alex_read_tuple(&p) : NULL;
	Buffer		buf;

	redo_complete_split(record, 1);
	if (XLogReadBufferForRedo(record, 0, &buf) == BLK_NEEDS_REDO)
	{
		alex_inner_add(BufferGetPage(buf), xlrec->pos, xlrec->key, tup,
					   xlrec->child);
		done_with(record, buf);
	}
	release(buf);
}

static void
redo_meta_page(XLogReaderState *record, uint8 block_id, const AlexMeta *meta)
{
	Buffer		buf;
	PGAlignedBlock image;

	/* the code behind it is not in the record */
	if (meta->version >= ALEX_CODED_VERSION)
	{
		if (XLogReadBufferForRedo(record, block_id, &buf) == BLK_NEEDS_REDO)
		{
			*alex_meta(BufferGetPage(buf)) = *meta;
			done_with(record, buf);
		}
		release(buf);
		return;
	}
	buf = XLogInitBufferForRedo(record, block_id);
	memset(image.data, 0, BLCKSZ);
	alex_meta_init((Page) image.data, (AlexKind) meta->kind, meta->buildid,
				   meta->root, meta->level);
	*alex_meta((Page) image.data) = *meta;
	alex_page_replace(BufferGetPage(buf), image.data);
	done_with(record, buf);
	release(buf);
}

static void
redo_newroot(XLogReaderState *record)
{
	xl_alex_newroot *xlrec = (xl_alex_newroot *) XLogRecGetData(record);
	Buffer		buf = XLogInitBufferForRedo(record, 0);
	PGAlignedBlock image;
	Page		root = (Page) image.data;
	const char *p = (const char *) (xlrec + 1);
	IndexTuple	septup = NULL;

	memset(image.data, 0, BLCKSZ);
	alex_page_init(root, ALEX_PAGE_INNER, xlrec->level, xlrec->incarnation);
	if (xlrec->wide)
	{
		alex_wide_init(root);
		septup = alex_read_tuple(&p);
	}
	alex_header(root)->low = alex_raw(ALEX_KEY_LOW);
	alex_header(root)->high = alex_raw(ALEX_KEY_HIGH);
	alex_inner_add(root, 0, alex_raw(ALEX_KEY_LOW), NULL, xlrec->left);
	alex_inner_add(root, 1, xlrec->sep, septup, xlrec->right);
	alex_page_replace(BufferGetPage(buf), image.data);
	done_with(record, buf);
	release(buf);

	redo_complete_split(record, 1);
	redo_meta_page(record, 2, &xlrec->meta);
}

static void
redo_remove(XLogReaderState *record, bool vacuum)
{
	xl_alex_remove *xlrec = (xl_alex_remove *) XLogRecGetData(record);
	Buffer		buf;

	/*
	 * Dead entries may still be needed by standby queries; what VACUUM
	 * removes has had its conflicts resolved by the table's records.
	 */
	if (!vacuum && InHotStandby)
	{
		RelFileLocator node;

		XLogRecGetBlockTag(record, 0, &node, NULL, NULL);
		omen_resolve_conflict(xlrec->latestRemovedXid, xlrec->catalog != 0,
							  node);
	}

	/*
	 * VACUUM's TIDs may be reused: as on the primary, wait for index scans
	 * that have read the page and not yet the table (see README).
	 */
	if (XLogReadBufferForRedoExtended(record, 0, RBM_NORMAL, vacuum,
									  &buf) == BLK_NEEDS_REDO)
	{
		Page		page = BufferGetPage(buf);

		alex_leaf_remove(page,
						 (uint16 *) XLogRecGetBlockData(record, 0, NULL),
						 xlrec->nslots);
		if (vacuum)
		{
			alex_opaque(page)->cycleid = 0;
			alex_opaque(page)->flags &= ~ALEX_SPLIT_END;
		}
		done_with(record, buf);
	}
	release(buf);
}

static void
redo_unlink(XLogReaderState *record)
{
	xl_alex_unlink *xlrec = (xl_alex_unlink *) XLogRecGetData(record);
	Buffer		bufs[7];
	int			nbufs = 0;
	Buffer		buf;
	const char *p = (const char *) (xlrec + 1);
	IndexTuple	low = NULL;

	if (XLogRecGetDataLen(record) > sizeof(xl_alex_unlink))
		low = alex_read_tuple(&p);

	/*
	 * Left to right, then up, as on the primary; all locks to the end, so
	 * that readers find links, bounds and downlinks in agreement.
	 */
	if (xlrec->leftsib != InvalidBlockNumber)
	{
		if (XLogReadBufferForRedo(record, 3, &buf) == BLK_NEEDS_REDO)
		{
			alex_opaque(BufferGetPage(buf))->right = xlrec->rightsib;
			done_with(record, buf);
		}
		bufs[nbufs++] = buf;
	}
	if (XLogReadBufferForRedo(record, 0, &buf) == BLK_NEEDS_REDO)
	{
		alex_opaque(BufferGetPage(buf))->flags |= ALEX_DELETED;
		alex_header(BufferGetPage(buf))->safexid = xlrec->safexid;
		done_with(record, buf);
	}
	bufs[nbufs++] = buf;
	if (XLogReadBufferForRedo(record, 1, &buf) == BLK_NEEDS_REDO)
	{
		alex_opaque(BufferGetPage(buf))->left = xlrec->leftsib;
		alex_set_low(BufferGetPage(buf), xlrec->low, low);
		done_with(record, buf);
	}
	bufs[nbufs++] = buf;
	if (xlrec->branch)
	{
		if (xlrec->parent_leftsib != InvalidBlockNumber)
		{
			if (XLogReadBufferForRedo(record, 6, &buf) == BLK_NEEDS_REDO)
			{
				alex_opaque(BufferGetPage(buf))->right =
					xlrec->parent_rightsib;
				done_with(record, buf);
			}
			bufs[nbufs++] = buf;
		}
		if (XLogReadBufferForRedo(record, 4, &buf) == BLK_NEEDS_REDO)
		{
			alex_opaque(BufferGetPage(buf))->flags |= ALEX_DELETED;
			alex_header(BufferGetPage(buf))->safexid = xlrec->safexid;
			done_with(record, buf);
		}
		bufs[nbufs++] = buf;
		if (XLogReadBufferForRedo(record, 5, &buf) == BLK_NEEDS_REDO)
		{
			alex_opaque(BufferGetPage(buf))->left = xlrec->parent_leftsib;
			alex_inner_extend_left(BufferGetPage(buf), xlrec->low, low);
			done_with(record, buf);
		}
		bufs[nbufs++] = buf;
	}
	if (XLogReadBufferForRedo(record, 2, &buf) == BLK_NEEDS_REDO)
	{
		alex_inner_unlink(BufferGetPage(buf), xlrec->pos);
		done_with(record, buf);
	}
	bufs[nbufs++] = buf;
	while (nbufs > 0)
		release(bufs[--nbufs]);
}

static void
alex_redo(XLogReaderState *record)
{
	MemoryContext old = MemoryContextSwitchTo(redo_context);

	switch (XLogRecGetInfo(record) & ~XLR_INFO_MASK)
	{
		case XLOG_ALEX_INSERT:
			redo_insert(record);
			break;
		case XLOG_ALEX_INSERT_RUN:
			redo_insert_run(record);
			break;
		case XLOG_ALEX_REBUILD:
			redo_rebuild(record);
			break;
		case XLOG_ALEX_SPLIT_LEAF:
			redo_split(record, true);
			break;
		case XLOG_ALEX_SPLIT_INNER:
			redo_split(record, false);
			break;
		case XLOG_ALEX_INSERT_INNER:
			redo_insert_inner(record);
			break;
		case XLOG_ALEX_NEWROOT:
			redo_newroot(record);
			break;
		case XLOG_ALEX_VACUUM:
			redo_remove(record, true);
			break;
		case XLOG_ALEX_DELETE:
			redo_remove(record, false);
			break;
		case XLOG_ALEX_UNLINK:
			redo_unlink(record);
			break;
		case XLOG_ALEX_REUSE:
			if (InHotStandby)
			{
				xl_alex_reuse *xlrec =
					(xl_alex_reuse *) XLogRecGetData(record);

				omen_resolve_conflict_full(xlrec->latestRemovedFullXid,
										   xlrec->catalog != 0, xlrec->node);
			}
			break;
		case XLOG_ALEX_META:
			redo_meta_page(record, 0, (AlexMeta *) XLogRecGetData(record));
			break;
		default:
			elog(PANIC, "alex_redo: unknown op code %u",
				 XLogRecGetInfo(record));
	}
	MemoryContextSwitchTo(old);
	MemoryContextReset(redo_context);
}

static void
alex_desc(StringInfo buf, XLogReaderState *record)
{
	char	   *rec = XLogRecGetData(record);

	switch (XLogRecGetInfo(record) & ~XLR_INFO_MASK)
	{
		case XLOG_ALEX_INSERT:
			if (XLogRecGetBlockData(record, 0, NULL) != NULL)
			{
				xl_alex_insert xlrec;

				memcpy(&xlrec, XLogRecGetBlockData(record, 0, NULL),
					   sizeof(xlrec));
				appendStringInfo(buf, "slot %u, gap %u, start %u",
								 xlrec.place.slot, xlrec.place.gap,
								 xlrec.place.start);
			}
			break;
		case XLOG_ALEX_INSERT_RUN:
			{
				Size		size = 0;
				const char *data = XLogRecGetBlockData(record, 0, &size);
				const char *end = data + size;
				AlexRun		run = alex_run_begin();
				int			n = 0;

				for (; data < end; n++)
					alex_run_get(&data, &run);
				appendStringInfo(buf, "entries %d", n);
			}
			break;
		case XLOG_ALEX_SPLIT_LEAF:
		case XLOG_ALEX_SPLIT_INNER:
			{
				xl_alex_split *xlrec = (xl_alex_split *) rec;

				appendStringInfo(buf, "level %u, firstright %u, left %u, right %u, farright %u",
								 xlrec->level, xlrec->firstright, xlrec->left,
								 xlrec->right, xlrec->farright);
				break;
			}
		case XLOG_ALEX_INSERT_INNER:
			appendStringInfo(buf, "pos %u, child %u",
							 ((xl_alex_insert_inner *) rec)->pos,
							 ((xl_alex_insert_inner *) rec)->child);
			break;
		case XLOG_ALEX_NEWROOT:
			appendStringInfo(buf, "level %u",
							 ((xl_alex_newroot *) rec)->level);
			break;
		case XLOG_ALEX_VACUUM:
		case XLOG_ALEX_DELETE:
			appendStringInfo(buf, "latestRemovedXid %u, nslots %u, catalog %u",
							 ((xl_alex_remove *) rec)->latestRemovedXid,
							 ((xl_alex_remove *) rec)->nslots,
							 ((xl_alex_remove *) rec)->catalog);
			break;
		case XLOG_ALEX_UNLINK:
			{
				xl_alex_unlink *xlrec = (xl_alex_unlink *) rec;

				appendStringInfo(buf, "left %u, target %u, right %u, pos %u, branch %u, safexid %u:%u",
								 xlrec->leftsib, xlrec->target,
								 xlrec->rightsib, xlrec->pos, xlrec->branch,
								 EpochFromFullTransactionId(xlrec->safexid),
								 XidFromFullTransactionId(xlrec->safexid));
				break;
			}
		case XLOG_ALEX_REUSE:
			{
				xl_alex_reuse *xlrec = (xl_alex_reuse *) rec;

				appendStringInfo(buf, "rel %u/%u/%u, block %u, latestRemovedXid %u:%u, catalog %u",
								 xlrec->node.spcOid, xlrec->node.dbOid,
								 xlrec->node.relNumber, xlrec->block,
								 EpochFromFullTransactionId(xlrec->latestRemovedFullXid),
								 XidFromFullTransactionId(xlrec->latestRemovedFullXid),
								 xlrec->catalog);
				break;
			}
		case XLOG_ALEX_META:
			appendStringInfo(buf, "last_deleted %u",
							 ((AlexMeta *) rec)->last_deleted);
			break;
	}
}

static const char *
alex_identify(uint8 info)
{
	switch (info & ~XLR_INFO_MASK)
	{
		case XLOG_ALEX_INSERT:
			return "INSERT";
		case XLOG_ALEX_INSERT_RUN:
			return "INSERT_RUN";
		case XLOG_ALEX_REBUILD:
			return "REBUILD";
		case XLOG_ALEX_SPLIT_LEAF:
			return "SPLIT_LEAF";
		case XLOG_ALEX_SPLIT_INNER:
			return "SPLIT_INNER";
		case XLOG_ALEX_INSERT_INNER:
			return "INSERT_INNER";
		case XLOG_ALEX_NEWROOT:
			return "NEWROOT";
		case XLOG_ALEX_VACUUM:
			return "VACUUM";
		case XLOG_ALEX_DELETE:
			return "DELETE";
		case XLOG_ALEX_UNLINK:
			return "UNLINK";
		case XLOG_ALEX_REUSE:
			return "REUSE_PAGE";
		case XLOG_ALEX_META:
			return "META_CLEANUP";
	}
	return NULL;
}

/*
 * Hide what is not logged: kill hints and vacuum cycles.
 */
static void
alex_mask(char *pagedata, BlockNumber block)
{
	Page		page = (Page) pagedata;
	AlexOpaque *opaque;

	mask_page_lsn_and_checksum(page);
	mask_page_hint_bits(page);
	if (PageIsNew(page) || PageGetSpecialSize(page) != ALEX_OPAQUE_SIZE)
		return;
	mask_unused_space(page);
	opaque = alex_opaque(page);
	opaque->cycleid = 0;
	opaque->flags &= ~ALEX_SPLIT_END;
	if (alex_is_leaf(page) && alex_is_grouped(page))
	{
		alex_leaf(page)->dead_sum = 0;
		memset(alex_groups(page)->dead, 0, sizeof(alex_groups(page)->dead));
	}
	else if (alex_is_leaf(page) && alex_leaf(page)->nslots <= ALEX_MAX_SLOTS)
	{
		alex_leaf(page)->dead_sum = 0;
		memset(alex_dead(page), 0,
			   alex_words(alex_leaf(page)->nslots) * sizeof(uint64));
	}
}

static void
alex_rmgr_startup(void)
{
	redo_context = AllocSetContextCreate(CurrentMemoryContext,
										 "alex recovery",
										 ALLOCSET_DEFAULT_SIZES);
}

static void
alex_rmgr_cleanup(void)
{
	MemoryContextDelete(redo_context);
	redo_context = NULL;
}

static const RmgrData alex_rmgr = {
	.rm_name = "omendb_alex",
	.rm_redo = alex_redo,
	.rm_desc = alex_desc,
	.rm_identify = alex_identify,
	.rm_startup = alex_rmgr_startup,
	.rm_cleanup = alex_rmgr_cleanup,
	.rm_mask = alex_mask
};

void
alex_rmgr_register(void)
{
	RegisterCustomRmgr(RM_OMENDB_ALEX_ID, (RmgrData *) &alex_rmgr);
}
