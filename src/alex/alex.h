/*-------------------------------------------------------------------------
 *
 * alex.h
 *	  Prototypes of the index access method alex.  See README.md in this folder
 *	  for the whole picture.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#ifndef ALEX_H
#define ALEX_H

#include "alex/alex_public.h"
#include "alex/alexwal.h"

#include "access/amapi.h"
#include "access/genam.h"
#include "access/relscan.h"
#include "access/xlogreader.h"
#include "nodes/execnodes.h"
#include "storage/bufmgr.h"
#include "storage/sharedfileset.h"
#include "utils/rel.h"

#ifndef USE_FLOAT8_BYVAL
#error "alex needs 8-byte datums passed by value"
#endif

/* Support procedures and strategies (the strategies are btree's) */
#define ALEX_CMP_PROC			1
#define ALEX_NPROCS				1
#define ALEX_NSTRATEGIES		5

/*
 * Searches that meet a recycled page, or an outdated root, start again.  So
 * many times in a row only in a damaged index.
 */
#define ALEX_MAX_TRIES			1000

#define ALEX_DEFAULT_FILLFACTOR	80
#define ALEX_MIN_FILLFACTOR		50

/*
 * What a backend knows about an index, in rd_amcache.  Copy it before doing
 * anything that could process invalidations.
 */
typedef struct AlexRel
{
	uint64		buildid;
	BlockNumber root;
	uint32		level;
	uint64		root_incarnation;
	AlexKind	kind;
	bool		wide;
	bool		desc;
	uint16		null_class;
	bool		has_include;
	bool		may_group;		/* leaves may be grouped */
	uint8		encodings[INDEX_MAX_KEYS];	/* wide: of the columns */
	AlexPrefix	prefix;
	struct AlexCode *code;		/* of the first column's texts, or NULL */
	uint32		code_generation;	/* in which that is valid */
	int			dirslot;		/* directory slot, or -1 */
	uint32		dirgen;
} AlexRel;

typedef struct AlexOptions
{
	int32		vl_len_;
	int			fillfactor;
} AlexOptions;

/* A candidate leaf from the directory; if grouped, with the number of groups */
#define ALEX_DIR_GROUPED	0x10000

typedef struct AlexDirHit
{
	BlockNumber block;
	uint64		incarnation;
	AlexModel	model;
	uint32		nslots;
	Buffer		recent;			/* buffer hint, or InvalidBuffer */
	volatile int32 *hint;		/* where the hint lives, to correct it */
	bool		asked_for;		/* the leaf's lines have been prefetched */
} AlexDirHit;

/* ----------------------------------------------------------------
 * Settings
 * ----------------------------------------------------------------
 */
extern int	alex_directory_size_kb;
extern bool alex_directory_stale;
extern bool alex_replaces_btree;
extern bool alex_default;

/* alexutils.c */
extern bytea *alexoptions(Datum reloptions, bool validate);
extern void alex_init_options(void);
extern bool alexproperty(Oid index_oid, int attno, IndexAMProperty prop,
						 const char *propname, bool *res, bool *isnull);
extern char *alexbuildphasename(int64 phasenum);
extern bool alexcanreturn(Relation index, int attno);
extern int	alex_fillfactor(Relation rel);
extern AlexKind alex_kind_of_type(Oid type);
extern uint64 alex_image(AlexKind kind, bool desc, Datum value);
extern Datum alex_image_datum(AlexKind kind, bool desc, uint64 image);
extern bool alex_image_lossy(AlexKind kind, bool desc, Datum value,
							 uint64 image);
extern AlexKey alex_key_of_values(Relation rel, const AlexRel *info,
								  const Datum *values, const bool *isnull,
								  const ItemPointerData *tid);
extern AlexPayload alex_form_payload(Relation rel, const AlexRel *info,
									 const Datum *values, const bool *isnull,
									 const ItemPointerData *tid,
									 uint64 image, AlexPackRoom *room);

extern bool alex_is_index(Relation rel);
extern void alex_require_index(Relation rel);

/* alexvalidate.c */
extern bool alexvalidate(Oid opclassoid);

/* alexpage.c */
extern void alex_page_init(Page page, AlexPageKind kind, int level,
						   uint64 incarnation);
extern void alex_meta_init(Page page, AlexKind kind, uint64 buildid,
						   BlockNumber root, uint32 level);
extern void alex_check_page(Relation rel, Buffer buf);
pg_noreturn extern void alex_corrupted(Relation rel, BlockNumber block);
extern Buffer alex_read_buffer(Relation rel, BlockNumber block);
extern void alex_lock_buffer(Relation rel, Buffer buf, int lockmode);
extern Buffer alex_get_buffer(Relation rel, BlockNumber block, int lockmode);
extern Buffer alex_get_next(Relation rel, Buffer left, int lockmode);
extern Buffer alex_get_inner(Relation rel, BlockNumber block, int level,
							 int lockmode);
extern Buffer alex_new_buffer(Relation rel);
extern bool alex_page_recyclable(Page page);
extern uint64 alex_new_incarnation(Relation rel);
extern AlexRel *alex_rel(Relation rel);
extern void alex_refresh_root(Relation rel);
extern void alex_forget_rel(Relation rel);
extern void alex_page_replace(Page page, const char *image);

/* alexwide.c */
extern AlexKind alex_wide_kind(Relation rel, uint8 *encodings);
extern bool alex_may_have_prefix(const AlexRel *info);
extern uint32 alex_prefix_hash(const AlexPrefix *prefix);
extern void alex_wide_images(Relation rel, const AlexRel *info,
							 const Datum *values, const bool *isnull,
							 int natts, int edge, AlexKey *key);
extern int	alex_bound_cmp_tuple(const AlexBound *a, IndexTuple tup);
extern int	alex_tuple_cmp(Relation rel, IndexTuple a, IndexTuple b);
extern void alex_wide_init(Page page);
extern IndexTuple alex_low_tuple(Page page);
extern IndexTuple alex_high_tuple(Page page);
extern AlexKey alex_low(Relation rel, Page page, AlexBound *room);
extern AlexKey alex_high(Relation rel, Page page, AlexBound *room);
extern void alex_set_low(Page page, AlexRaw raw, IndexTuple tup);
extern void alex_set_high(Page page, AlexRaw raw, IndexTuple tup);
extern bool alex_tail_is_sane(Page page);
extern AlexKey alex_key_with_tuple(Relation rel, AlexRaw raw, IndexTuple tup,
								   AlexBound *room);
extern AlexSeparator alex_separator(Relation rel, const AlexRel *info,
									uint16 class, const AlexItem *left,
									const AlexItem *right);

/* A wide key with its tuple, kept beyond the lock on its page */
typedef struct AlexKeyStore
{
	AlexBound	bound;
	AlexTupleRoom tup;
} AlexKeyStore;
extern void alex_register_tuple(IndexTuple tup, uint16 *len);
extern IndexTuple alex_read_tuple(const char **data);
extern AlexKey alex_key_save(AlexKeyStore *store, AlexKey key);

/* alexpack.c */
extern AlexPayload alex_pack(Relation rel, const AlexRel *info,
							 const Datum *values, const bool *isnull,
							 const ItemPointerData *tid, AlexPackRoom *room);

/* alexunpack.c */
extern bool alex_try_unpack(Relation rel, const AlexRel *info, uint64 image,
							uint64 image2, const char *entry,
							AlexTupleRoom *room);
extern IndexTuple alex_unpack(Relation rel, const AlexRel *info, uint64 image,
							  uint64 image2, const char *entry,
							  AlexTupleRoom *room);
extern IndexTuple alex_leaf_tuple(Relation rel, Page page, int slot,
								  AlexTupleRoom *room);
extern int	alex_bound_cmp_entry(const AlexBound *a, Page page, int slot);
extern int	alex_entry_cmp(Relation rel, const AlexRel *info, uint64 image,
						   uint64 image2, const char *a, const char *b,
						   bool with_tid);

/* alexleaf.c */

/*
 * A longer run of entries without a gap than this makes a model-based layout
 * give way to an even one.  Counted in slots; refitted from ALEX's cost
 * constants to pages: moving 64 slots is two 500-byte memmoves.
 */
#define ALEX_MAX_RUN	64

extern int	alex_leaf_bytes(int nslots, bool payload);
extern int	alex_leaf_predict(Page page, uint64 image);
extern int	alex_leaf_lower_bound(Page page, uint64 image, uint64 tid);
extern int	alex_leaf_next_used(Page page, int slot);
extern int	alex_leaf_prev_used(Page page, int slot);
extern int	alex_leaf_find(Page page, AlexKey key);
extern int	alex_leaf_free_payload(Page page);
extern bool alex_leaf_has_dead(Page page);
extern bool alex_leaf_kill(Page page, int slot);
extern int	alex_leaf_gather(Page page, AlexItem *items);
extern int	alex_leaf_choose_slots(int nitems, Size payload, bool want_payload,
								   double density);
extern void alex_fit_model(const AlexItem *items, int n, double scale,
						   double offset, AlexModel *model);
extern bool alex_fit_between(const AlexItem *items, int first, int last,
							 double scale, AlexModel *model);
extern void alex_leaf_spread(const AlexItem *items, int nitems, int nslots,
							 bool payload, AlexSpread spread,
							 const AlexModel *model, AlexLayout *layout);
extern void alex_leaf_plan(const AlexItem *items, int nitems, int nslots,
						   bool payload, AlexSpread spread,
						   AlexLayout *layout);
extern void alex_leaf_plan_ascending(const AlexItem *items, int nitems,
									 int first, int nslots, bool payload,
									 AlexLayout *layout);
extern void alex_leaf_fill(Page page, const AlexLayout *layout,
						   const AlexItem *items);
extern int	alex_leaf_place(Page page, AlexKey key, bool append,
							AlexPlace *place);
extern void alex_leaf_insert(Page page, const AlexPlace *place, uint64 image,
							 uint64 tid, AlexPayload payload);
extern void alex_leaf_remove(Page page, const uint16 *slots, int nslots);

/* alexgroup.c */
extern int	alex_group_of(Page page, int slot);
extern int	alex_group_predict(Page page, uint64 image);
extern int	alex_group_lower_bound(Page page, uint64 image, uint64 tid);
extern int	alex_group_gather(Page page, AlexItem *items);
extern int	alex_count_groups(const AlexItem *items, int n);
extern bool alex_group_fits(Page page, int more);
extern void alex_group_plan(const AlexItem *items, int nitems,
							AlexLayout *layout);
extern void alex_group_fill(Page page, const AlexItem *items);
extern void alex_group_place(Page page, AlexKey key, AlexPlace *place);
extern void alex_group_insert(Page page, const AlexPlace *place, uint64 image,
							  uint64 tid, bool has_dead);
extern void alex_group_remove(Page page, const uint16 *slots, int nslots,
							  bool has_dead);
extern Size alex_group_pack(const AlexItem *items, int nitems, char *p);
extern void alex_group_unpack(const char *p, AlexItem *items, int nitems);

/* alexinner.c */
extern AlexKey alex_inner_key(Relation rel, Page page, int i,
							  AlexBound *room);
extern int	alex_inner_search(Relation rel, Page page, AlexKey key,
							  bool before);
extern bool alex_inner_fits(Page page, IndexTuple tup);
extern void alex_inner_add(Page page, int pos, AlexRaw key, IndexTuple tup,
						   BlockNumber child);
extern void alex_inner_unlink(Page page, int pos);
extern void alex_inner_extend_left(Page page, AlexRaw low, IndexTuple tup);
extern bool alex_inner_is_sane(Page page);
extern void alex_inner_cut_left(Page page, int firstright, AlexRaw sep,
								IndexTuple tup);
extern Buffer alex_find_inner(Relation rel, AlexKey key, int level);
extern void alex_finish_split(Relation rel, Buffer lbuf);

/* alexsearch.c */
extern Buffer alex_find_leaf(Relation rel, AlexKey key, bool before,
							 int lockmode, BlockNumber hint);
extern bool alex_look_ahead(Relation rel, AlexKey key, AlexDirHit *hit);
extern Buffer alex_find_leaf_ahead(Relation rel, AlexKey key, int lockmode,
								   AlexDirHit *hit);
extern void alex_count_move(Relation rel, int64 *moves);
extern bool alex_leaf_covers(Relation rel, Page page, AlexKey key,
							 bool before);
extern BlockNumber alex_descend(Relation rel, AlexKey key, bool before,
								int level);

/* alexinsert.c */
extern bool alexinsert(Relation rel, Datum *values, bool *isnull,
					   ItemPointer ht_ctid, Relation heapRel,
					   IndexUniqueCheck checkUnique, bool indexUnchanged,
					   IndexInfo *indexInfo);

/* alexsplit.c */
extern char *alex_pack_items(const AlexLayout *layout, const AlexItem *items,
							 Size *size);
extern Buffer alex_split_leaf(Relation rel, Buffer buf, AlexKey newkey,
							  AlexPayload newpayload);
extern void alex_apply_layout(Relation rel, Buffer buf,
							  const AlexLayout *layout, const AlexItem *items);
extern bool alex_group_leaf(Relation rel, Buffer buf);
extern void alex_rebuild_leaf(Relation rel, Buffer buf, int nslots,
							  bool payload, AlexSpread spread);

/* alexretrain.c */
typedef struct AlexRetrained
{
	int64		leaves;			/* looked at */
	int64		retrained;		/* laid out anew */
	int64		entered;		/* in the directory */
	int64		entries;
	int64		error_before;	/* sums over all entries */
	int64		error_after;
} AlexRetrained;
extern void alex_retrain_pages(Relation rel, BlockNumber *block, int64 end,
							   AlexRetrained *done);

extern void alex_leaf_plan_best(const AlexItem *items, int nitems, int nslots,
								bool payload, AlexSpread spread,
								AlexLayout *layout);

/* Would retraining lay out anew the leaf, which is locked in any mode? */
extern bool alex_leaf_is_bad(Page page);

/* alexmaintain.c */
extern Size alex_maintain_shmem_size(void);
extern void alex_maintain_shmem_request(void);
extern void alex_maintain_shmem_init(void);

/* alexdelete.c */
extern void alex_remove_items(Relation rel, Buffer buf, uint16 *slots,
							  int nslots, bool vacuum,
							  TransactionId latestRemovedXid, bool catalog);
extern void alex_delete_killed(Relation rel, Relation heapRel, Buffer buf,
							   const ItemPointerData *newtid);
extern void alex_delete_bottomup(Relation rel, Relation heapRel, Buffer buf,
								 Size newsize);

/* alexbuild.c */
extern IndexBuildResult *alexbuild(Relation heap, Relation index,
								   IndexInfo *indexInfo);
extern void alexbuildempty(Relation index);

/* alexcode.c */
typedef struct AlexCode AlexCode;
extern uint32 alex_code_generation;
extern AlexCode *alex_find_code(const AlexStoredCode *stored);
extern const AlexStoredCode *alex_stored_code(const AlexCode *code);

/* alexprefix.c */
extern void alex_choose_prefix(Relation heap, Relation index,
							   IndexInfo *indexInfo, AlexRel *info);

/* alexspool.c */
typedef struct AlexSort AlexSort;
typedef struct AlexSpool AlexSpool;
extern void alex_describe(Relation index, AlexKind built, AlexRel *info);
extern AlexSpool *alex_spool_table(Relation heap, Relation index,
								   IndexInfo *indexInfo,
								   const AlexRel *info, AlexSort **sort,
								   double *heap_tuples, double *index_tuples);
extern void alex_spool_end(AlexSpool *spool);

/* alexsort.c */
typedef struct AlexSortItem
{
	AlexKey		key;
	bool		alive;
	AlexPayload payload;		/* valid until the next call */
} AlexSortItem;
extern AlexSort *alex_sort_begin(Relation rel, const AlexRel *info,
								 int workmem_kb);
extern void alex_sort_put(AlexSort *sort, AlexKey key, bool alive,
						  AlexPayload payload);
extern void alex_sort_perform(AlexSort *sort);
extern void alex_sort_share(AlexSort *sort, SharedFileSet *fileset,
							int participant);
extern int	alex_sort_export(AlexSort *sort);
extern void alex_sort_import(AlexSort *sort, SharedFileSet *fileset,
							 int participant, int nruns);
extern bool alex_sort_get(AlexSort *sort, AlexSortItem *item);
extern void alex_sort_end(AlexSort *sort);

/* alexdefer.c */
#define ALEX_MAX_DEFERRED	256
extern int	alex_insert_batch;	/* omendb.insert_batch */
extern bool alex_deferring;
typedef struct AlexDeferred
{
	AlexRaw		raw;			/* of the key */
	AlexPayload payload;
} AlexDeferred;
extern void alex_insert_entries(Relation rel, Relation heapRel,
								const AlexDeferred *entries, int n,
								bool ascending, bool again);
extern bool alex_defer_insert(Relation index, Relation table,
							  struct IndexInfo *index_info, AlexKey key,
							  AlexPayload payload);
extern void alex_insert_deferred(void);
extern void alex_defer_install_hooks(void);

/* alexscan.c */
extern IndexScanDesc alexbeginscan(Relation rel, int nkeys, int norderbys);
extern void alexrescan(IndexScanDesc scan, ScanKey scankey, int nscankeys,
					   ScanKey orderbys, int norderbys);
extern bool alexgettuple(IndexScanDesc scan, ScanDirection dir);
extern int64 alexgetbitmap(IndexScanDesc scan, TIDBitmap *tbm);
extern void alexendscan(IndexScanDesc scan);
extern void alexmarkpos(IndexScanDesc scan);
extern void alexrestrpos(IndexScanDesc scan);
extern Size alex_parallel_size(void);
extern void alexinitparallelscan(void *target);
extern void alexparallelrescan(IndexScanDesc scan);

/* alexkeys.c */
typedef struct AlexRange
{
	uint16		class;
	uint64		first;			/* images, both ends inclusive */
	uint64		last;
	AlexKey		begin;			/* wide: [begin, end) instead */
	AlexKey		end;
} AlexRange;
extern AlexRange *alex_scan_ranges(Relation rel, ScanKey keys, int nkeys,
								   const AlexRel *info, AlexRange *room,
								   int *nranges, bool *recheck);

/* alexwidekeys.c */
typedef struct AlexFilterKey
{
	ScanKey		key;
	int			nelems;			/* of = ANY */
	Datum	   *elems;
	bool	   *nulls;
} AlexFilterKey;

/* One end of a range, in the order of the index */
typedef struct AlexEnd
{
	bool		set;
	bool		null;			/* where the NULLs begin, or end */
	Datum		value;
	int			edge;
} AlexEnd;

/*
 * What the ranges leave to be checked.  If skip_col is not -1, no entry matches
 * that has something else in that column than one of skip_values, or without
 * those than what is between skip_begin and skip_end; columns before it, behind
 * the ranges' equalities, are free.
 */
typedef struct AlexFilter
{
	int			nkeys;
	AlexFilterKey *keys;
	int			skip_col;
	int			nskip;			/* in the order of the index */
	Datum	   *skip_values;
	AlexEnd		skip_begin;
	AlexEnd		skip_end;
} AlexFilter;
extern AlexRange *alex_wide_ranges(IndexScanDesc scan, const AlexRel *info,
								   int *nranges, AlexFilter *filter);
extern bool alex_filter_passes(Relation rel, const AlexFilter *filter,
							   IndexTuple tup);
extern AlexKey alex_skip(Relation rel, const AlexRel *info,
						 const AlexFilter *filter, IndexTuple from,
						 bool forward, AlexBound *room);

/* alexvacuum.c */
extern IndexBulkDeleteResult *alexbulkdelete(IndexVacuumInfo *info,
											 IndexBulkDeleteResult *stats,
											 IndexBulkDeleteCallback callback,
											 void *callback_state);
extern IndexBulkDeleteResult *alexvacuumcleanup(IndexVacuumInfo *info,
												IndexBulkDeleteResult *stats);

/* alexcost.c */
extern void alexcostestimate(struct PlannerInfo *root, struct IndexPath *path,
							 double loop_count, Cost *indexStartupCost,
							 Cost *indexTotalCost,
							 Selectivity *indexSelectivity,
							 double *indexCorrelation, double *indexPages);

/* alexdir.c */
extern Size alex_dir_shmem_size(void);
extern void alex_dir_shmem_request(void);
extern void alex_dir_shmem_init(void);
extern void alex_dir_attach(Relation rel, AlexRel *info);
extern bool alex_dir_lookup(Relation rel, AlexRel *info, AlexKey key,
							bool before, AlexDirHit *hit);
extern void alex_dir_enter(Relation rel, AlexRel *info, Buffer buf);
extern void alex_dir_remove(Relation rel, AlexRel *info, AlexKey low,
							AlexKey high);
extern void alex_dir_forget(const RelFileLocator *node);
extern int64 alex_dir_entries(Relation rel, AlexRel *info);
extern bool alex_dir_has_room(int64 leaves);
extern bool alex_dir_lost(int dirslot, uint32 dirgen);

/* alexxlog.c */
extern void alex_rmgr_register(void);

/* alexforeign.c */
typedef struct AlexForeign
{
	List	   *tables;			/* OIDs: may be referenced */
	struct AlexForeign *outer;	/* the command that this one is part of */
} AlexForeign;
extern bool alex_foreign_begin(AlexForeign *f, Node *stmt);
extern void alex_foreign_end(AlexForeign *f);
extern void alex_foreign_failed(AlexForeign *f);

/* alexdefault.c */
extern bool alex_makes_index(PlannedStmt *pstmt, const char *queryString);

/* alexhooks.c */
extern void alex_hooks_install(void);

#endif							/* ALEX_H */
