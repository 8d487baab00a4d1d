/*-------------------------------------------------------------------------
 *
 * alexpage.c
 *	  Pages of an alex index: initialisation, checks, allocation, and what a
 *	  backend remembers of the meta page.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "alex/alex.h"

#include "access/xlog.h"
#include "access/xloginsert.h"
#include "catalog/catalog.h"
#include "catalog/pg_index.h"
#include "storage/buf_internals.h"
#include "storage/indexfsm.h"
#include "storage/lmgr.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

/*
 * Initialise an empty page of the given kind.  Siblings are invalid, bounds
 * are all zero: the caller fills them in.
 */
void
alex_page_init(Page page, AlexPageKind kind, int level, uint64 incarnation)
{
	AlexOpaque *opaque;

	PageInit(page, BLCKSZ, sizeof(AlexOpaque));
	opaque = alex_opaque(page);
	opaque->left = InvalidBlockNumber;
	opaque->right = InvalidBlockNumber;
	opaque->level = level;
	opaque->kind = kind;
	opaque->flags = 0;
	opaque->cycleid = 0;
	opaque->page_id = ALEX_PAGE_ID;
	if (kind != ALEX_PAGE_META)
		alex_header(page)->incarnation = incarnation;
	/* narrow inner pages have no hole: their arrays have fixed places */
	if (kind == ALEX_PAGE_INNER)
		((PageHeader) page)->pd_lower = ((PageHeader) page)->pd_upper;
}

void
alex_meta_init(Page page, AlexKind kind, uint64 buildid, BlockNumber root,
			   uint32 level)
{
	AlexMeta   *meta;

	alex_page_init(page, ALEX_PAGE_META, 0, 0);
	meta = alex_meta(page);
	meta->magic = ALEX_MAGIC;
	meta->version = ALEX_PLAIN_VERSION;
	meta->buildid = buildid;
	meta->root = root;
	meta->level = level;
	meta->kind = kind;
	meta->last_deleted = 0;
	/* so that a full page image keeps the contents */
	((PageHeader) page)->pd_lower =
		(char *) meta + sizeof(AlexMeta) - (char *) page;
}

/*
 * Replace a page's contents by an image prepared elsewhere, keeping its LSN.
 * The caller is in a critical section and holds the page exclusively.
 */
void
alex_page_replace(Page page, const char *image)
{
	PageXLogRecPtr lsn = ((PageHeader) page)->pd_lsn;

	memcpy(page, image, BLCKSZ);
	((PageHeader) page)->pd_lsn = lsn;
}

/*
 * Do sibling links, bounds and flags of a leaf or inner page agree with each
 * other?  A page that passes leads further right, or nowhere: whoever follows
 * right links, comparing bounds, cannot walk in a circle.
 */
static bool
links_are_sane(Page page, BlockNumber block)
{
	AlexOpaque *opaque = alex_opaque(page);
	AlexPageHeader *header = alex_header(page);
	AlexKey		low = alex_key_of_raw(header->low);
	AlexKey		high = alex_key_of_raw(header->high);

	if (alex_is_wide(page) && !alex_tail_is_sane(page))
		return false;

	return opaque->left != block && opaque->right != block &&
		opaque->left != ALEX_META_BLOCK && opaque->right != ALEX_META_BLOCK &&
		(opaque->left != opaque->right ||
		 opaque->left == InvalidBlockNumber) &&
		/* pages amid equal images differ in what only a comparison can tell */
		(alex_key_lt(low, high) ||
		 (alex_key_same_raw(low, high) && alex_high_tuple(page) != NULL)) &&
		(opaque->left == InvalidBlockNumber) ==
		(alex_key_class(low) == ALEX_CLASS_LOW) &&
		(opaque->right == InvalidBlockNumber) ==
		(alex_key_class(high) == ALEX_CLASS_HIGH) &&
		((opaque->flags & ALEX_DELETED) != 0) ==
		FullTransactionIdIsValid(header->safexid) &&
		((opaque->flags & ALEX_INCOMPLETE_SPLIT) == 0 ||
		 opaque->right != InvalidBlockNumber);
}

/* Do the arrays of a leaf end where the page says? */
static bool
slots_are_sane(Page page)
{
	AlexLeafHeader *leaf = alex_leaf(page);
	int			lower = ((PageHeader) page)->pd_lower - ALEX_LEAF_START;

	if (alex_is_grouped(page))
		return leaf->flags == ALEX_LEAF_GROUPED && !alex_is_wide(page) &&
			leaf->nslots == leaf->nitems &&
			leaf->nitems <= ALEX_MAX_GROUPED &&
			alex_groups(page)->ngroups <= leaf->nitems &&
			(alex_groups(page)->ngroups > 0) == (leaf->nitems > 0) &&
			leaf->payload_bytes == 0 &&
			/* pd_lower goes up to there as entries come */
			((PageHeader) page)->pd_upper == ALEX_SPECIAL &&
			lower <= ALEX_LEAF_SPACE &&
			lower == alex_grouped_bytes(alex_groups(page)->ngroups,
										leaf->nitems);
	return leaf->nslots > 0 && leaf->nslots <= ALEX_MAX_SLOTS &&
		leaf->nitems <= leaf->nslots &&
		lower == alex_leaf_bytes(leaf->nslots,
								 (leaf->flags & ALEX_LEAF_PAYLOAD) != 0);
}

/*
 * Could the page be alex's, so that using it stays within its bounds and
 * leads to its neighbours only?
 */
static bool
page_is_sane(Page page, BlockNumber block)
{
	AlexOpaque *opaque = alex_opaque(page);

	if (PageGetSpecialSize(page) != ALEX_OPAQUE_SIZE ||
		((PageHeader) page)->pd_special != ALEX_SPECIAL ||
		opaque->page_id != ALEX_PAGE_ID)
		return false;
	switch (opaque->kind)
	{
		case ALEX_PAGE_META:
			return block == ALEX_META_BLOCK;
		case ALEX_PAGE_INNER:
			return opaque->level > 0 &&
				alex_inner(page)->nitems > 0 &&
				links_are_sane(page, block) && alex_inner_is_sane(page);
		case ALEX_PAGE_GAPPED:
			{
				AlexLeafHeader *leaf = alex_leaf(page);

				return opaque->level == 0 && slots_are_sane(page) &&
					leaf->class > ALEX_CLASS_LOW &&
					leaf->class <= ALEX_CLASS_NULL_LAST &&
					leaf->class >= alex_key_class(alex_key_of_raw(leaf->common.low)) &&
					leaf->class <= alex_key_class(alex_key_of_raw(leaf->common.high)) &&
					links_are_sane(page, block);
			}
	}
	return false;
}

/* Report that a page cannot be what it should be. */
void
alex_corrupted(Relation rel, BlockNumber block)
{
	ereport(ERROR,
			(errcode(ERRCODE_INDEX_CORRUPTED),
			 errmsg("index \"%s\" contains corrupted page at block %u",
					RelationGetRelationName(rel), block),
			 errhint("Please REINDEX it.")));
}

/*
 * Complain about a page that cannot be alex's.  The caller holds a lock.
 */
void
alex_check_page(Relation rel, Buffer buf)
{
	Page		page = BufferGetPage(buf);

	if (PageIsNew(page))
		ereport(ERROR,
				(errcode(ERRCODE_INDEX_CORRUPTED),
				 errmsg("index \"%s\" contains unexpected zero page at block %u",
						RelationGetRelationName(rel),
						BufferGetBlockNumber(buf)),
				 errhint("Please REINDEX it.")));
	if (!page_is_sane(page, BufferGetBlockNumber(buf)))
		alex_corrupted(rel, BufferGetBlockNumber(buf));

	/*
	 * Code for wide keys knows gapped leaves alone.  It has looked at rd_amcache
	 * before; to read the meta page here could meet the caller's own locks.
	 */
	if (rel->rd_amcache != NULL && ((AlexRel *) rel->rd_amcache)->wide &&
		alex_opaque(page)->kind == ALEX_PAGE_GAPPED && alex_is_grouped(page))
		alex_corrupted(rel, BufferGetBlockNumber(buf));
}

/*
 * Read a page that some other page, or the directory, names.
 */
Buffer
alex_read_buffer(Relation rel, BlockNumber block)
{
	/* ReadBuffer would add a page */
	if (block == InvalidBlockNumber)
		ereport(ERROR,
				(errcode(ERRCODE_INDEX_CORRUPTED),
				 errmsg("index \"%s\" contains a link to no page",
						RelationGetRelationName(rel)),
				 errhint("Please REINDEX it.")));
	return ReadBuffer(rel, block);
}

/*
 * Lock and check a pinned page.  In an undamaged index nobody comes to a page
 * that he has locked already; where he does he would wait for himself, and no
 * cancel would reach him.
 */
void
alex_lock_buffer(Relation rel, Buffer buf, int lockmode)
{
	if (!BufferIsLocal(buf) &&
		unlikely(LWLockHeldByMe(BufferDescriptorGetContentLock(GetBufferDescriptor(buf - 1)))))
		alex_corrupted(rel, BufferGetBlockNumber(buf));
	LockBuffer(buf, lockmode);
	alex_check_page(rel, buf);
}

/*
 * Read, lock and check a page.  lockmode is BUFFER_LOCK_SHARE or
 * BUFFER_LOCK_EXCLUSIVE; the buffer is returned pinned and locked.  Callers
 * that hold locks on other pages use alex_get_next or alex_get_inner.
 */
Buffer
alex_get_buffer(Relation rel, BlockNumber block, int lockmode)
{
	Buffer		buf = alex_read_buffer(rel, block);

	alex_lock_buffer(rel, buf, lockmode);
	return buf;
}

/*
 * Is page the right sibling of lpage?  Tuples of wide keys are compared only if
 * wanted, and page is locked then.
 */
static bool
is_right_sibling(Relation rel, Page lpage, Page page, bool tuples)
{
	AlexBound	low;
	AlexBound	high;

	if (PageIsNew(page) ||
		alex_opaque(page)->kind != alex_opaque(lpage)->kind ||
		alex_opaque(page)->level != alex_opaque(lpage)->level ||
		alex_is_deleted(page) ||
		!alex_key_same_raw(alex_key_of_raw(alex_header(page)->low),
						   alex_key_of_raw(alex_header(lpage)->high)))
		return false;
	return !tuples || alex_key_eq(alex_low(rel, page, &low),
								  alex_high(rel, lpage, &high));
}

static void
not_the_sibling(Relation rel, Buffer left, Buffer buf)
{
	ereport(ERROR,
			(errcode(ERRCODE_INDEX_CORRUPTED),
			 errmsg("block %u of index \"%s\" is not the right sibling of block %u",
					BufferGetBlockNumber(buf),
					RelationGetRelationName(rel),
					BufferGetBlockNumber(left)),
			 errhint("Please REINDEX it.")));
}

/*
 * Get the right sibling of a page that the caller has locked and that is not
 * deleted.
 *
 * What makes a page the right sibling (its level, and a low key that is our
 * high key) cannot change while we hold our page, so it can be looked at
 * before the lock is waited for: we wait to the right only, wherever a
 * damaged link may lead.
 */
Buffer
alex_get_next(Relation rel, Buffer left, int lockmode)
{
	Page		lpage = BufferGetPage(left);
	Buffer		buf = alex_read_buffer(rel, alex_opaque(lpage)->right);

	if (!is_right_sibling(rel, lpage, BufferGetPage(buf), false))
		not_the_sibling(rel, left, buf);
	alex_lock_buffer(rel, buf, lockmode);
	/* the images alone do not tell pages amid equal ones apart */
	if (alex_is_wide(lpage) &&
		!is_right_sibling(rel, lpage, BufferGetPage(buf), true))
		not_the_sibling(rel, left, buf);
	return buf;
}

/*
 * Get an inner page of the given level; InvalidBuffer if the block is
 * something else.  The caller may hold locks on lower levels.
 *
 * The level is looked at before the lock is waited for, since what is no
 * inner page could be one that the caller, or somebody who waits for him, has
 * locked.  It does not change in between: a block that the meta page or
 * another page has named is not recycled while the caller's transaction lasts
 * (or his VACUUM, which alone makes pages free to be recycled).
 */
Buffer
alex_get_inner(Relation rel, BlockNumber block, int level, int lockmode)
{
	Buffer		buf = alex_read_buffer(rel, block);
	Page		page = BufferGetPage(buf);

	if (PageIsNew(page) || alex_opaque(page)->kind != ALEX_PAGE_INNER ||
		alex_opaque(page)->level != level)
	{
		ReleaseBuffer(buf);
		return InvalidBuffer;
	}
	alex_lock_buffer(rel, buf, lockmode);
	page = BufferGetPage(buf);
	if (alex_opaque(page)->kind != ALEX_PAGE_INNER ||
		alex_opaque(page)->level != level)
	{
		UnlockReleaseBuffer(buf);
		return InvalidBuffer;
	}
	return buf;
}

/*
 * A number that no other initialisation of the same block has.
 *
 * Between two initialisations of a block of a logged index there is at least
 * the record of its deletion, so the WAL position has moved on.  Indexes that
 * are not logged (at the moment) use the server's counter for fake LSNs; the
 * top bit keeps the two apart, since an index can change from one to the
 * other (a relation created in the current transaction under wal_level =
 * minimal is not logged yet).
 */
uint64
alex_new_incarnation(Relation rel)
{
	if (RelationNeedsWAL(rel))
		return GetXLogInsertRecPtr();
	return GetFakeLSNForUnloggedRel() | (UINT64CONST(1) << 63);
}

/*
 * Can no running transaction hold a link to this deleted page any more?
 */
bool
alex_page_recyclable(Page page)
{
	Assert(!PageIsNew(page));
	return alex_is_deleted(page) &&
		GlobalVisCheckRemovableFullXid(NULL, alex_header(page)->safexid);
}

/*
 * May logical decoding look at the index's table?  The caller has the table open
 * and locked, but not at hand: splits are also finished by who comes by.
 */
static bool
table_is_for_decoding(Relation rel)
{
	Relation	heap;
	bool		result;

	if (!XLogLogicalInfoActive())
		return false;
	heap = RelationIdGetRelation(rel->rd_index->indrelid);
	if (!RelationIsValid(heap))
		elog(ERROR, "could not open relation with OID %u",
			 rel->rd_index->indrelid);
	result = RelationIsAccessibleInLogicalDecoding(heap);
	RelationClose(heap);
	return result;
}

/*
 * Get a page to initialise: one from the free space map, or a new one.
 * Returned pinned, exclusively locked, with old or no contents; the caller
 * may hold locks on other pages, so pages from the map are locked
 * conditionally only (the map may be wrong about them).
 */
Buffer
alex_new_buffer(Relation rel)
{
	Buffer		buf;
	bool		need_lock;

	for (;;)
	{
		BlockNumber block = GetFreeIndexPage(rel);
		Page		page;

		if (block == InvalidBlockNumber)
			break;
		buf = ReadBuffer(rel, block);
		if (!ConditionalLockBuffer(buf))
		{
			ReleaseBuffer(buf);
			continue;
		}
		page = BufferGetPage(buf);
		if (PageIsNew(page))
			return buf;
		if (alex_page_recyclable(page))
		{
			/*
			 * A standby may have queries whose snapshot is older than the
			 * deletion and that still hold a link to the page.
			 */
			if (XLogStandbyInfoActive() && RelationNeedsWAL(rel))
			{
				xl_alex_reuse xlrec;

				memset(&xlrec, 0, sizeof(xlrec));
				xlrec.node = rel->rd_locator;
				xlrec.block = block;
				xlrec.latestRemovedFullXid = alex_header(page)->safexid;
				xlrec.catalog = table_is_for_decoding(rel);
				XLogBeginInsert();
				XLogRegisterData((char *) &xlrec, sizeof(xlrec));
				XLogInsert(RM_OMENDB_ALEX_ID, XLOG_ALEX_REUSE);
			}
			return buf;
		}
		UnlockReleaseBuffer(buf);
	}

	/*
	 * Extend.  The new page is locked before the extension lock is released:
	 * VACUUM must not see it unlocked and take it for a lost page.
	 */
	need_lock = !RELATION_IS_LOCAL(rel);
	if (need_lock)
		LockRelationForExtension(rel, ExclusiveLock);
	buf = ReadBuffer(rel, P_NEW);
	LockBuffer(buf, BUFFER_LOCK_EXCLUSIVE);
	if (need_lock)
		UnlockRelationForExtension(rel, ExclusiveLock);
	return buf;
}

/*
 * Read the meta page into *info (root, level, kind, build, prefix), and if the
 * index has one, and it is wanted, its code, which is palloc'd.
 */
static void
read_meta(Relation rel, AlexRel *info, AlexStoredCode **code)
{
	Buffer		buf = alex_get_buffer(rel, ALEX_META_BLOCK, BUFFER_LOCK_SHARE);
	AlexMeta   *meta = alex_meta(BufferGetPage(buf));
	int			rest;
	bool		damaged;

	if (alex_opaque(BufferGetPage(buf))->kind != ALEX_PAGE_META ||
		meta->magic != ALEX_MAGIC)
		ereport(ERROR,
				(errcode(ERRCODE_INDEX_CORRUPTED),
				 errmsg("index \"%s\" is not an alex index",
						RelationGetRelationName(rel))));
	if (meta->version > ALEX_VERSION ||
		meta->version < (meta->kind < ALEX_KIND_WIDE ? ALEX_NARROW_VERSION :
						 ALEX_WIDE_VERSION))
		ereport(ERROR,
				(errcode(ERRCODE_INDEX_CORRUPTED),
				 errmsg("alex format version mismatch in index \"%s\": file version %u, this server's version %d",
						RelationGetRelationName(rel),
						meta->version, ALEX_VERSION),
				 errhint("REINDEX it.")));
	info->buildid = meta->buildid;
	info->root = meta->root;
	info->level = meta->level;
	info->kind = (AlexKind) meta->kind;
	info->prefix = meta->prefix;
	/* what has been made by an older version is left readable to it */
	info->may_group = meta->version >= ALEX_PLAIN_VERSION &&
		meta->kind < ALEX_KIND_WIDE;
	/* is there a code behind it, or not, as the version says? */
	rest = ((PageHeader) BufferGetPage(buf))->pd_lower -
		(int) ((char *) (meta + 1) - (char *) BufferGetPage(buf));
	damaged = meta->version >= ALEX_CODED_VERSION ?
		rest < (int) sizeof(AlexStoredCode) : rest > 0;
	if (code != NULL && meta->version >= ALEX_CODED_VERSION && !damaged)
	{
		*code = palloc(sizeof(AlexStoredCode));
		memcpy(*code, alex_meta_code(BufferGetPage(buf)),
			   sizeof(AlexStoredCode));
	}
	UnlockReleaseBuffer(buf);
	/* the images of all keys depend on these */
	if (damaged || info->prefix.len > ALEX_MAX_PREFIX ||
		info->prefix.hash != (info->prefix.len > 0 ?
							  alex_prefix_hash(&info->prefix) : 0))
		alex_corrupted(rel, ALEX_META_BLOCK);

	/*
	 * The root may be split meanwhile, it remains the leftmost page of its
	 * level and serves as an entry point as long as its incarnation is the
	 * same.  It cannot be recycled while we hold a snapshot or run VACUUM.
	 */
	buf = alex_get_inner(rel, info->root, info->level, BUFFER_LOCK_SHARE);
	if (!BufferIsValid(buf))
		alex_corrupted(rel, ALEX_META_BLOCK);
	info->root_incarnation = alex_header(BufferGetPage(buf))->incarnation;
	UnlockReleaseBuffer(buf);
}

/*
 * What we know about the index, from rd_amcache or read now.  No locks may be
 * held on the meta page or the root.
 */
AlexRel *
alex_rel(Relation rel)
{
	AlexRel    *info = (AlexRel *) rel->rd_amcache;

	if (likely(info != NULL &&
			   info->code_generation == alex_code_generation))
		return info;
	if (info != NULL)
	{
		rel->rd_amcache = NULL;
		pfree(info);
	}

	{
		AlexRel		fresh;
		AlexStoredCode *code = NULL;

		memset(&fresh, 0, sizeof(fresh));
		read_meta(rel, &fresh, &code);
		{
			AlexRel		described;

			/* what the catalogs say, against what it was built for */
			alex_describe(rel, fresh.kind, &described);
			if (fresh.kind != described.kind ||
				((fresh.prefix.len > 0 || code != NULL) &&
				 !alex_may_have_prefix(&described)))
				ereport(ERROR,
						(errcode(ERRCODE_INDEX_CORRUPTED),
						 errmsg("index \"%s\" was built for another key type",
								RelationGetRelationName(rel)),
						 errhint("Please REINDEX it.")));
			described.prefix = fresh.prefix;
			described.may_group = fresh.may_group;
			described.buildid = fresh.buildid;
			described.root = fresh.root;
			described.level = fresh.level;
			described.root_incarnation = fresh.root_incarnation;
			if (code != NULL)
			{
				/* without it no image could be read */
				described.code = alex_find_code(code);
				if (described.code == NULL)
					alex_corrupted(rel, ALEX_META_BLOCK);
				pfree(code);
			}
			described.code_generation = alex_code_generation;
			fresh = described;
		}
		alex_dir_attach(rel, &fresh);
		info = (AlexRel *) MemoryContextAlloc(rel->rd_indexcxt,
											  sizeof(AlexRel));
		*info = fresh;
		rel->rd_amcache = info;
	}
	return info;
}

/* Look at the meta page again: the remembered root is out of date. */
void
alex_refresh_root(Relation rel)
{
	AlexRel    *info = alex_rel(rel);
	AlexRel		fresh = *info;

	read_meta(rel, &fresh, NULL);
	info = (AlexRel *) rel->rd_amcache;
	if (info != NULL)
		*info = fresh;
}

/* Forget all we know about the index (it is being built anew). */
void
alex_forget_rel(Relation rel)
{
	if (rel->rd_amcache != NULL)
	{
		pfree(rel->rd_amcache);
		rel->rd_amcache = NULL;
	}
	alex_dir_forget(&rel->rd_locator);
}
