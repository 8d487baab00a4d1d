/*-------------------------------------------------------------------------
 *
 * memory.c
 *	  Memory of hash tables and groups.
 *
 * A query that makes a few hundred thousand groups touches some ten megabytes of
 * memory that the process has not had before.  In pages of 4 kB the page faults
 * take longer than all else, most of all on virtual machines.  So large pieces lie
 * in huge pages where the system has such for who asks.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "exec/memory.h"

#include <sys/mman.h>

#include "utils/memutils.h"

/* A huge page; of systems that have others, these are no worse than none */
#define HUGE_PAGE		((Size) 2 * 1024 * 1024)

#define FIRST_BLOCK		((Size) 8 * 1024)
#define LAST_SMALL_BLOCK ((Size) 256 * 1024)
#define LAST_BLOCK		((Size) 16 * 1024 * 1024)
#define BLOCK_ALIGN		OMEN_ARENA_ALIGN

/* See memory.h */
char *
omen_large_alloc(MemoryContext mcxt, Size size, void **chunk, Size *unused)
{
	char	   *p;

#ifdef MADV_HUGEPAGE
	if (size >= HUGE_PAGE / 2)
	{
		Size		rounded = TYPEALIGN(HUGE_PAGE, size);

		/* from a border on; what lies before and behind it stays untouched */
		*chunk = MemoryContextAllocExtended(mcxt, rounded + HUGE_PAGE,
											MCXT_ALLOC_HUGE);
		p = (char *) TYPEALIGN(HUGE_PAGE, *chunk);
		(void) madvise(p, rounded, MADV_HUGEPAGE);
		*unused += HUGE_PAGE;
		return p;
	}
#endif
	*chunk = MemoryContextAllocExtended(mcxt, size + BLOCK_ALIGN,
										MCXT_ALLOC_HUGE);
	p = (char *) TYPEALIGN(BLOCK_ALIGN, *chunk);
	return p;
}

/* See memory.h */
void
omen_arena_init(OmenArena *arena, MemoryContext mcxt, Size limit)
{
	arena->mcxt = mcxt;
	arena->limit = limit;
	omen_arena_reset(arena);
}

/* See memory.h */
void
omen_arena_reset(OmenArena *arena)
{
	arena->block_size = FIRST_BLOCK;
	arena->next = arena->end = NULL;
	arena->unused = 0;
}

/* The same when there is no room in the block at hand */
char *
omen_arena_alloc_block(OmenArena *arena, Size size)
{
	Size		block_size = arena->block_size;
	Size		next_size = block_size * 2;
	void	   *chunk;
	char	   *p;

	/* a block more is not too much more than the limit */
	if (next_size > LAST_SMALL_BLOCK)
		next_size = Max(next_size, HUGE_PAGE);
	if (next_size <= Min(LAST_BLOCK, arena->limit / 16))
		arena->block_size = next_size;

	/* what is large has a block of its own */
	if (size > block_size / 4)
	{
		p = MemoryContextAllocExtended(arena->mcxt, size + BLOCK_ALIGN,
									   MCXT_ALLOC_HUGE);
		return (char *) TYPEALIGN(BLOCK_ALIGN, p);
	}
	p = omen_large_alloc(arena->mcxt, block_size, &chunk, &arena->unused);
	arena->next = p + size;
	arena->end = p + block_size;
	return p;
}

/* See memory.h */
void
omen_slots_init(OmenSlots *slots, MemoryContext parent, Size limit)
{
	memset(slots, 0, sizeof(*slots));
	slots->mcxt = AllocSetContextCreate(parent, "omendb slots",
										ALLOCSET_DEFAULT_SIZES);
	slots->limit = limit;
}

/* See memory.h */
void
omen_slots_reset(OmenSlots *slots)
{
	MemoryContextReset(slots->mcxt);
	slots->slots = NULL;
	slots->size = 0;
	slots->used = 0;
	slots->full = false;
}

/* See memory.h */
bool
omen_slots_grow(OmenSlots *slots, uint64 first, Size slot_size,
				OmenMoveSlots move)
{
	uint64		size = slots->slots ? slots->size * 2 : first;
	void	   *old = slots->slots;
	void	   *old_chunk = slots->chunk;
	Size		unused = 0;

	/* for a while there are both of them */
	if (old != NULL && (size + slots->size) * slot_size > slots->limit)
	{
		slots->full = true;
		return false;
	}
	slots->slots = omen_large_alloc(slots->mcxt, size * slot_size,
									&slots->chunk, &unused);
	memset(slots->slots, 0, size * slot_size);
	if (old != NULL)
	{
		move(old, slots->size, slots->slots, size - 1);
		pfree(old_chunk);
	}
	slots->size = size;
	return true;
}
