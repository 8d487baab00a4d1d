/*-------------------------------------------------------------------------
 *
 * rows.c
 *	  Batches that are put together: rows of hot pages, and of segments that
 *	  have hot and cold ones.
 *
 * Such a batch is a list of where its rows are: runs of rows of the segment, and
 * tuples between them, on pages that are pinned or were copied.  Columns are made
 * of that when they are asked for (rowcolumns.c).
 *
 * A tuple that a thaw has put on its page, and that is still there, has a mark
 * (table/thawmark.h).  Its page decides who sees it, but its values are those of
 * its row in the segment, and are taken from there with those of its cold
 * neighbours.  Only marks of the version that the scan's copy of the header names
 * are believed: another one's row may be anything.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "exec/source_state.h"

#include "access/heapam.h"
#include "pgstat.h"
#include "prefetch.h"
#include "storage/buf_internals.h"
#include "storage/predicate.h"
#include "utils/memutils.h"

/* Such a tuple is visible to everybody */
#define SEEN_BY_ALL		(HEAP_XMIN_FROZEN | HEAP_XMAX_INVALID)

/* Up to this share of a page's rows, tuples are copied, and the page is not pinned */
#define COPIED_SHARE	4

/* What is to be known to tell whether a tuple is visible */
typedef struct PageView
{
	Relation	rel;
	Snapshot	snapshot;
	Buffer		buffer;
	BlockNumber blk;
	bool		all_visible;
	bool		conflicts;		/* SSI wants to hear of each tuple */
} PageView;

/* The page that the scan has open; as collect_hot() of tablescan.c */
static void
begin_page(OmenSource *source, Page page, PageView *view)
{
	HeapScanDesc hscan = &source->state->scan->heap;

	view->rel = source->rel;
	view->snapshot = hscan->rs_base.rs_snapshot;
	view->buffer = hscan->rs_cbuf;
	view->blk = hscan->rs_cblock;
	/* what the primary calls all-visible need not be so to a standby's snapshot */
	view->all_visible = PageIsAllVisible(page) &&
		!view->snapshot->takenDuringRecovery;
	view->conflicts = CheckForSerializableConflictOutNeeded(source->rel,
															view->snapshot);
	if (!omen_page_is_vacant(page))
		source->state->scan->nhot++;
}

/* So many line pointers before its turn, a tuple's header is asked for */
#define PREFETCH_DISTANCE	32

/*
 * And so many pages before its turn, what is looked at of each page.  (The tuples
 * that a note tells of are asked for one page before, by its line pointers.)
 */
#define PREFETCH_PAGES		2

/*
 * Headers are all that is looked at of most tuples, one in each cache line: memory
 * is what their scan waits for.
 */
static inline void
prefetch_tuple(Page page, OffsetNumber off)
{
	omen_prefetch((char *) page + ItemIdGetOffset(PageGetItemId(page, off)) +
				  offsetof(HeapTupleHeaderData, t_ctid));
}

static inline void
prefetch_header(Page page, OffsetNumber off, int lines)
{
	if (off + PREFETCH_DISTANCE <= lines)
		prefetch_tuple(page, off + PREFETCH_DISTANCE);
}

/*
 * The page of a block that comes soon, if a note says where it is: its buffer's
 * descriptor, its header, and as many line pointers as the last page had.
 */
static inline void
prefetch_page(OmenSourceState *state, int block)
{
	Buffer		buffer = omen_page_note_buffer(&state->notes, block);
	char	   *page;
	Size		length = SizeOfPageHeaderData +
		sizeof(ItemIdData) * state->page_lines;

	if (buffer <= 0 || buffer > NBuffers)
		return;
	omen_prefetch(GetBufferDescriptor(buffer - 1));
	page = BufferGetBlock(buffer);
	for (Size i = 0; i < length; i += PG_CACHE_LINE_SIZE / 2)
		omen_prefetch(page + i);
}

/*
 * The note of a block of the row group.  Its pages are mostly read one after the
 * other, so the next one's is got as well, and the tuples that it tells of are
 * asked for: by line pointers that may just change, or be another page's, which is
 * good enough for that.  A note that is older than the page is found out by its LSN.
 */
static bool
get_note(OmenSourceState *state, int block, OmenPageNote *note)
{
	OmenPageNote *next = &state->next_note;
	bool		noted = state->next_noted;
	Page		page;

	if (state->notes.slot == NULL)
		return false;
	if (state->next_block == block)
		memcpy(note, next, offsetof(OmenPageNote, lines) +
			   (noted ? next->nlines : 0));
	else
		noted = omen_page_note_get(&state->notes, block, note);

	prefetch_page(state, block + PREFETCH_PAGES);
	state->next_block = block + 1;
	state->next_noted = block + 1 < omen_row_group_blocks &&
		omen_page_note_get(&state->notes, block + 1, next) &&
		next->buffer > 0 && next->buffer <= NBuffers;
	if (state->next_noted)
	{
		page = BufferGetPage(next->buffer);
		prefetch_tuple(page, FirstOffsetNumber);
		for (int i = 0; i < next->nlines; i++)
			prefetch_tuple(page, next->lines[i]);
	}
	return noted;
}

/* Is a tuple visible? */
static bool
is_visible(const PageView *view, ItemId lp, HeapTupleHeader header,
		   OffsetNumber off)
{
	HeapTupleData tuple;
	bool		valid = view->all_visible;

	/* HeapTupleSatisfiesMVCC() looks at no more than this either */
	if ((header->t_infomask & SEEN_BY_ALL) == SEEN_BY_ALL)
		valid = true;
	if (valid && !view->conflicts)
		return true;

	tuple.t_data = header;
	tuple.t_len = ItemIdGetLength(lp);
	tuple.t_tableOid = RelationGetRelid(view->rel);
	ItemPointerSet(&tuple.t_self, view->blk, off);
	if (!valid)
		valid = HeapTupleSatisfiesVisibility(&tuple, view->snapshot,
											 view->buffer);
	if (view->conflicts)
		HeapCheckForSerializableConflictOut(valid, view->rel, &tuple,
											view->buffer, view->snapshot);
	return valid;
}

/*
 * omen_rows_init: see source_state.h.
 *
 * Where are attributes of tuples without nulls always at the same place?  As
 * attcacheoff, which belongs to the relation's descriptor.
 */
void
omen_rows_init(OmenSource *source)
{
	OmenSourceState *state = source->state;
	uint32		off = 0;
	int			nfixed = 0;		/* attributes with a fixed place */
	uint32	   *offsets = MemoryContextAllocZero(state->mcxt, sizeof(uint32) *
												 (source->max_attno + 1));

	for (int i = 0; i < source->max_attno; i++)
	{
		Form_pg_attribute att = TupleDescAttr(source->tupdesc, i);

		/* a short varlena needs no alignment */
		if (att->attlen < 0 && off != att_align_nominal(off, att->attalign))
			break;
		off = att_align_nominal(off, att->attalign);
		offsets[i] = off;
		nfixed++;
		if (att->attlen < 0)
			break;
		off += att->attlen;
	}

	state->offsets = offsets;
	state->nfixed = nfixed;
	state->row_numbers = MemoryContextAlloc(state->mcxt, sizeof(int32) *
											OMEN_BATCH_ROWS);
	state->runs = MemoryContextAlloc(state->mcxt, sizeof(OmenRun) *
									 OMEN_BATCH_ROWS);
	state->tuples = MemoryContextAlloc(state->mcxt, sizeof(HeapTupleHeader) *
									   OMEN_BATCH_ROWS);
	state->tuple_rows = MemoryContextAlloc(state->mcxt, sizeof(uint16) *
										   OMEN_BATCH_ROWS);
	state->decoded = MemoryContextAllocZero(state->mcxt, sizeof(OmenVector) *
											(source->max_attno + 1));
	state->built = MemoryContextAllocZero(state->mcxt, sizeof(char *) *
										  (source->max_attno + 1));
	state->decoded_vectors = MemoryContextAlloc(state->mcxt, sizeof(int) *
												(source->max_attno + 1));
}

/* See source_state.h */
void
omen_rows_begin_segment(OmenSource *source)
{
	OmenSourceState *state = source->state;

	for (int i = 0; i < source->max_attno; i++)
		state->decoded_vectors[i] = -1;
	state->zone_vector = -1;
}

/* See source_state.h */
void
omen_rows_begin_group(OmenSource *source)
{
	OmenSourceState *state = source->state;

	state->notes.slot = NULL;
	state->next_block = -1;
	if (!state->copy.sealed)
		return;
	omen_thaw_mark_init(&state->mark, &state->copy.id);
	omen_page_notes_find(&state->notes, source->rel, state->copy.first_block,
						 &state->copy.id);
}

/* See source_state.h */
void
omen_rows_begin(OmenSource *source, OmenBatch *batch)
{
	OmenSourceState *state = source->state;

	batch->segment = NULL;
	batch->put_together = true;
	batch->sel = NULL;
	batch->nrows = 0;
	batch->segment_number = state->segment_number;
	batch->group_number = state->group_number;
	memset(batch->loaded, OMEN_COLUMN_NOT_LOADED, source->tupdesc->natts);
	state->nruns = state->nsegment = state->ntuples = 0;
	state->simple = true;
	state->deformed = false;
	state->numbered = false;
}

/* See source_state.h */
void
omen_rows_number(OmenSource *source, const uint16 *sel, int n)
{
	OmenSourceState *state = source->state;
	int			r = 0;

	if (state->numbered)
		return;
	if (sel != NULL)
	{
		/* both are in ascending order */
		for (int k = 0; k < n; k++)
		{
			const OmenRun *run;

			while (r < state->nruns &&
				   state->runs[r].at + state->runs[r].n <= sel[k])
				r++;
			run = &state->runs[r];
			state->row_numbers[sel[k]] = r < state->nruns && run->at <= sel[k] ?
				(int32) (run->row + (sel[k] - run->at)) : -1;
		}
		return;
	}
	for (; r < state->nruns; r++)
	{
		const OmenRun *run = &state->runs[r];

		for (int i = 0; i < run->n; i++)
			state->row_numbers[run->at + i] = run->row + i;
	}
	for (int k = 0; k < state->ntuples; k++)
		state->row_numbers[state->tuple_rows[k]] = -1;
	state->numbered = true;
}

/*
 * Can the rows of a vector be left out, going by its zone map?  Their values are
 * the segment's, so it does not matter where they are now.
 */
static bool
is_excluded(OmenSource *source, int vector)
{
	OmenSourceState *state = source->state;

	if (source->ntests == 0 && source->bound == NULL)
		return false;
	if (vector != state->zone_vector)
	{
		state->zone_vector = vector;
		state->zone_excludes = omen_zones_exclude(source, vector);
	}
	return state->zone_excludes;
}

/*
 * Append rows first .. first + n - 1 of the segment.  Returns how many of them
 * are wanted.
 */
static int
append_rows(OmenSource *source, OmenBatch *batch, uint32 first, int n)
{
	OmenSourceState *state = source->state;
	int			appended = 0;

	while (n > 0)
	{
		int			part = Min(n, OMEN_VECTOR_MAX_ROWS -
							   (int) (first % OMEN_VECTOR_MAX_ROWS));
		int			at = (int) batch->nrows;
		OmenRun    *last = state->nruns > 0 ?
		&state->runs[state->nruns - 1] : NULL;

		if (!is_excluded(source, first / OMEN_VECTOR_MAX_ROWS))
		{
			if (last != NULL && last->row + last->n == first &&
				last->at + last->n == at)
				last->n += part;
			else
			{
				last = &state->runs[state->nruns++];
				last->row = first;
				last->at = at;
				last->n = part;
			}
			batch->nrows += part;
			appended += part;
		}
		first += part;
		n -= part;
	}
	state->nsegment += appended;
	return appended;
}

/* See source_state.h */
void
omen_append_cold(OmenSource *source, OmenBatch *batch, uint32 first, int n)
{
	source->counters.rows_cold += append_rows(source, batch, first, n);
}

/* Append a tuple */
static inline void
append_tuple(OmenSource *source, OmenBatch *batch, HeapTupleHeader tuple)
{
	OmenSourceState *state = source->state;

	state->tuples[batch->nrows] = tuple;
	state->tuple_rows[state->ntuples++] = (uint16) batch->nrows++;
	state->simple &= (tuple->t_infomask & HEAP_HASNULL) == 0 &&
		HeapTupleHeaderGetNatts(tuple) >= source->max_attno;
}

/*
 * The last ntuples tuples appended are on page, which stays as it is only while
 * the scan stands there: see to it that they are good as long as the batch is.
 */
static void
keep_tuples(OmenSource *source, Page page, int ntuples, int nrows)
{
	OmenSourceState *state = source->state;
	HeapScanDesc hscan = &state->scan->heap;
	Page		now = omen_scan_page(state->scan);
	const uint16 *rows = state->tuple_rows + state->ntuples - ntuples;
	char	   *copy;

	if (ntuples * COPIED_SHARE <= nrows)
	{
		Size		length = 0;

		for (int i = 0; i < ntuples; i++)
			length += MAXALIGN(state->tuple_lengths[i]);
		copy = MemoryContextAlloc(state->page_mcxt, length);
		for (int i = 0; i < ntuples; i++)
		{
			HeapTupleHeader *tuple = &state->tuples[rows[i]];
			Size		place = (char *) *tuple - (char *) page;

			memcpy(copy, (char *) now + place, state->tuple_lengths[i]);
			*tuple = (HeapTupleHeader) copy;
			copy += MAXALIGN(state->tuple_lengths[i]);
		}
		return;
	}
	if (!state->scan->cold && state->npins < MAX_PINS)
	{
		IncrBufferRefCount(hscan->rs_cbuf);
		state->pins[state->npins++] = hscan->rs_cbuf;
		return;
	}
	copy = MemoryContextAlloc(state->page_mcxt, BLCKSZ);
	memcpy(copy, now, BLCKSZ);
	for (int i = 0; i < ntuples; i++)
		state->tuples[rows[i]] = (HeapTupleHeader)
			(copy + ((char *) state->tuples[rows[i]] - (char *) page));
}

/*
 * A page that has turned cold since the row group's header was copied: its rows
 * have been listed.
 */
static bool
append_turned_page(OmenSource *source, OmenBatch *batch)
{
	OmenSourceState *state = source->state;
	HeapScanDesc hscan = &state->scan->heap;
	Page		page = omen_scan_page(state->scan);

	if (batch->nrows + hscan->rs_ntuples > OMEN_BATCH_ROWS)
		return false;
	for (int i = 0; i < hscan->rs_ntuples; i++)
		append_tuple(source, batch, (HeapTupleHeader)
					 PageGetItem(page, PageGetItemId(page,
													 hscan->rs_vistuples[i])));
	if (hscan->rs_ntuples > 0)
		keep_tuples(source, page, hscan->rs_ntuples, 0);
	source->counters.rows_hot += hscan->rs_ntuples;
	return true;
}

/* The rows of a page, as they are appended one after the other */
typedef struct PageRows
{
	OmenSource *source;
	OmenBatch  *batch;
	Page		page;
	PageView	view;
	OmenBlockLines sealed;		/* line pointers that the segment knows */
	uint32		run;			/* rows of the segment that are to be appended */
	int			nrun;
	int			nthawed;
	int			ntuples;
} PageRows;

static inline void
end_run(PageRows *pr)
{
	if (pr->nrun > 0)
		pr->nthawed += append_rows(pr->source, pr->batch, pr->run, pr->nrun);
	pr->nrun = 0;
}

/* Rows row .. row + n - 1 of the segment come next */
static inline void
add_rows(PageRows *pr, uint32 row, int n)
{
	if (row != pr->run + pr->nrun)
	{
		end_run(pr);
		pr->run = row;
	}
	pr->nrun += n;
}

/*
 * The line pointer off comes next.  Returns whether its tuple is settled (see
 * pagenotes.h).
 */
static inline bool
add_line(PageRows *pr, OffsetNumber off)
{
	OmenSourceState *state = pr->source->state;
	ItemId		lp = PageGetItemId(pr->page, off);
	HeapTupleHeader tuple;
	int32		row = -1;
	bool		settled;

	if (!ItemIdIsNormal(lp))
		return false;
	tuple = (HeapTupleHeader) PageGetItem(pr->page, lp);
	if (off <= pr->sealed.nlines && omen_has_thaw_mark(tuple, off, &state->mark))
		row = omen_block_line_row(&pr->sealed, off);
	settled = (tuple->t_infomask & SEEN_BY_ALL) == SEEN_BY_ALL;
	if ((!settled || unlikely(pr->view.conflicts)) &&
		!is_visible(&pr->view, lp, tuple, off))
		return false;
	if (row >= 0)
	{
		add_rows(pr, (uint32) row, 1);
		return settled;
	}
	end_run(pr);
	state->tuple_lengths[pr->ntuples++] = ItemIdGetLength(lp);
	append_tuple(pr->source, pr->batch, tuple);
	return false;
}

/*
 * Line pointers first .. last come next, of which a note says that they are settled.
 * Each of them has a row, and these follow one another.
 */
static inline void
add_settled(PageRows *pr, int first, int last)
{
	int32		row;

	if (first > last)
		return;
	row = omen_block_line_row(&pr->sealed, first);
	if (likely(row >= 0 &&
			   omen_block_line_row(&pr->sealed, last) - row == last - first))
		add_rows(pr, (uint32) row, last - first + 1);
	else
		for (int off = first; off <= last; off++)
			(void) add_line(pr, (OffsetNumber) off);
}

/*
 * Does the note tell about the page that the scan has open, which has so many
 * line pointers, the segment knowing the first nsealed?
 */
static inline bool
is_noted(const OmenPageNote *note, const PageView *view, int lines, int nsealed)
{
	if (view->conflicts || note->lsn != BufferGetLSNAtomic(view->buffer))
		return false;
	for (int i = note->nlines; lines > nsealed; i--, lines--)
	{
		if (i == 0 || note->lines[i - 1] != lines)
			return false;		/* a mark that is not the segment's */
	}
	return true;
}

/*
 * Where the page may be.  A pin by that way does not count as a use of the buffer:
 * one in 32 pages is read as others are, or those that scans read again and
 * again would be the first to go.
 */
static inline Buffer
noted_buffer(const OmenPageNote *note)
{
	static uint32 n = 0;		/* of this backend: other pages in each scan */

	return (n++ * 0x9E3779B1) >> 27 == 0 ? InvalidBuffer : note->buffer;
}

/*
 * Begin a note of the page that the scan has open.  Its LSN is taken before anything
 * is looked at; and as hint bits may give it another one under a share lock, not
 * just so.
 */
static inline void
begin_note(OmenPageNote *note, const PageView *view)
{
	note->buffer = view->buffer;
	note->lsn = BufferGetLSNAtomic(view->buffer);
	note->nlines = 0;
}

/* The line pointer is not settled.  Is there no room for that, the note is void. */
static inline void
note_line(OmenPageNote *note, OffsetNumber off)
{
	if (note->nlines >= OMEN_NOTE_LINES || off > OMEN_NOTE_MAX_LINE)
		note->lsn = InvalidXLogRecPtr;
	else
		note->lines[note->nlines++] = (uint8) off;
}

/* See source_state.h */
bool
omen_append_page(OmenSource *source, OmenBatch *batch, BlockNumber blk,
				 int block)
{
	OmenSourceState *state = source->state;
	OmenPageNote note;
	bool		noted;
	int			lines;
	int			before = (int) batch->nrows;
	PageRows	pr;

	if (batch->nrows + state->page_lines > OMEN_BATCH_ROWS)
		return false;
	noted = get_note(state, OmenGroupOffset(blk), &note);
	pr.page = omen_scan_open_page(state->scan, blk,
								  noted ? noted_buffer(&note) : InvalidBuffer);
	if (pr.page == NULL)
	{
		state->page_lines = 0;
		return append_turned_page(source, batch);
	}
	lines = PageGetMaxOffsetNumber(pr.page);
	if (lines > MaxHeapTuplesPerPage)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("block %u of relation \"%s\" has too many line pointers",
						blk, RelationGetRelationName(source->rel))));
	state->page_lines = lines;
	if (batch->nrows + lines > OMEN_BATCH_ROWS)
	{
		omen_scan_close_page(state->scan, false);
		return false;
	}
	begin_page(source, pr.page, &pr.view);
	pr.source = source;
	pr.batch = batch;
	pr.sealed.nlines = 0;
	pr.run = 0;
	pr.nrun = pr.nthawed = pr.ntuples = 0;
	if (block >= 0 && omen_segment_has_block(state->segment, block))
		omen_segment_block_lines(state->segment, block, &pr.sealed);

	if (noted && is_noted(&note, &pr.view, lines, pr.sealed.nlines))
	{
		int			next = FirstOffsetNumber;

		for (int i = 0; i < note.nlines; i++)
		{
			add_settled(&pr, next, note.lines[i] - 1);
			(void) add_line(&pr, note.lines[i]);
			next = note.lines[i] + 1;
		}
		add_settled(&pr, next, lines);
	}
	else
	{
		begin_note(&note, &pr.view);
		for (OffsetNumber off = FirstOffsetNumber; off <= lines; off++)
		{
			prefetch_header(pr.page, off, lines);
			if (!add_line(&pr, off))
				note_line(&note, off);
		}
		if (note.lsn != InvalidXLogRecPtr)
			omen_page_note_put(&state->notes, OmenGroupOffset(blk), &note);
	}
	end_run(&pr);

	omen_scan_close_page(state->scan, pr.ntuples > 0);
	if (pr.ntuples > 0)
		keep_tuples(source, pr.page, pr.ntuples, (int) batch->nrows - before);
	source->counters.rows_thawed += pr.nthawed;
	source->counters.rows_hot += pr.ntuples;
	return true;
}

/* See source_state.h */
bool
omen_page_is_thawed(OmenSource *source, BlockNumber blk)
{
	OmenSourceState *state = source->state;
	Page		page = omen_scan_open_page(state->scan, blk, InvalidBuffer);
	int			lines;
	bool		found = false;

	if (page == NULL)
		return false;
	lines = PageGetMaxOffsetNumber(page);
	for (OffsetNumber off = FirstOffsetNumber; off <= lines && !found; off++)
	{
		ItemId		lp = PageGetItemId(page, off);

		found = ItemIdIsNormal(lp) &&
			omen_has_thaw_mark((HeapTupleHeader) PageGetItem(page, lp), off,
							   &state->mark);
	}
	omen_scan_close_page(state->scan, false);
	return found;
}

/* Does a count have this line pointer?  *settled as add_line() returns it */
static inline bool
count_line(OmenSourceState *state, const PageView *view, Page page,
		   OffsetNumber off, bool *settled)
{
	ItemId		lp = PageGetItemId(page, off);
	HeapTupleHeader tuple;

	*settled = false;
	if (!ItemIdIsNormal(lp))
		return false;
	if (view->all_visible && !view->conflicts)
		return true;
	tuple = (HeapTupleHeader) PageGetItem(page, lp);
	if ((tuple->t_infomask & SEEN_BY_ALL) == SEEN_BY_ALL)
	{
		*settled = state->notes.slot != NULL &&
			omen_has_thaw_mark(tuple, off, &state->mark);
		if (!view->conflicts)
			return true;
	}
	return is_visible(view, lp, tuple, off);
}

/* See source_state.h */
int
omen_count_page(OmenSource *source, BlockNumber blk)
{
	OmenSourceState *state = source->state;
	OmenPageNote note;
	bool		noted = get_note(state, OmenGroupOffset(blk), &note);
	Page		page;
	PageView	view;
	int			lines;
	int			n = 0;
	bool		settled;

	page = omen_scan_open_page(state->scan, blk,
							   noted ? noted_buffer(&note) : InvalidBuffer);
	if (page == NULL)
		return state->scan->heap.rs_ntuples;
	begin_page(source, page, &view);
	lines = PageGetMaxOffsetNumber(page);
	state->page_lines = Min(lines, MaxHeapTuplesPerPage);
	if (noted && is_noted(&note, &view, lines, lines))
	{
		n = lines - note.nlines;
		for (int i = 0; i < note.nlines; i++)
			n += count_line(state, &view, page, note.lines[i], &settled);
	}
	else
	{
		begin_note(&note, &view);
		for (OffsetNumber off = FirstOffsetNumber; off <= lines; off++)
		{
			if (!view.all_visible)
				prefetch_header(page, off, lines);
			n += count_line(state, &view, page, off, &settled);
			if (!settled)
				note_line(&note, off);
		}
		/* of an all-visible page nothing was looked at but line pointers */
		if (note.lsn != InvalidXLogRecPtr && !view.all_visible)
			omen_page_note_put(&state->notes, OmenGroupOffset(blk), &note);
	}
	omen_scan_close_page(state->scan, false);
	return n;
}
