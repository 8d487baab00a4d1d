/*-------------------------------------------------------------------------
 *
 * memory.h
 *	  Memory of hash tables and groups.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#ifndef OMENDB_MEMORY_H
#define OMENDB_MEMORY_H

#include "postgres.h"

#include "nodes/memnodes.h"

/*
 * Memory that is given back as a whole, by a reset of mcxt.  There is no header
 * and no rounding to powers of two.
 */
typedef struct OmenArena
{
	MemoryContext mcxt;
	Size		limit;			/* what mcxt is allowed to have in the end */
	Size		block_size;		/* of the next block */
	char	   *next;			/* what is free of the last one */
	char	   *end;
	Size		unused;			/* of mcxt: see omen_large_alloc() */
} OmenArena;

extern void omen_arena_init(OmenArena *arena, MemoryContext mcxt, Size limit);
/* After a reset of its context */
extern void omen_arena_reset(OmenArena *arena);
extern char *omen_arena_alloc_block(OmenArena *arena, Size size);

/* Alignment of what is large: a cache line */
#define OMEN_ARENA_ALIGN	64

/*
 * size bytes, whose address is a multiple of align, a power of two up to
 * OMEN_ARENA_ALIGN
 */
static inline char *
omen_arena_alloc(OmenArena *arena, Size size, Size align)
{
	char	   *p = (char *) TYPEALIGN(align, arena->next);

	if (unlikely(arena->next == NULL || p + size > arena->end))
		return omen_arena_alloc_block(arena, size);
	arena->next = p + size;
	return p;
}

/*
 * A large piece of memory in few pages.  *chunk is what pfree() takes.  *unused
 * goes up by what the context has counted and nobody will touch.
 */
extern char *omen_large_alloc(MemoryContext mcxt, Size size, void **chunk,
							  Size *unused);

/*
 * Slots of a hash table with open addressing, whose number is a power of two.  What is
 * in them, and which are free (all bytes 0), is the table's (intset.c, pairset.c).
 */
typedef struct OmenSlots
{
	MemoryContext mcxt;			/* of the slots alone */
	Size		limit;			/* bytes of that */
	void	   *slots;
	void	   *chunk;			/* for pfree() */
	uint64		size;			/* 0 = there are none yet */
	uint64		used;
	bool		full;			/* nothing more is added */
} OmenSlots;

/* Put what is in n slots, the first number of them or a multiple, into free ones */
typedef void (*OmenMoveSlots) (const void *from, uint64 n, void *to,
							   uint64 mask);

extern void omen_slots_init(OmenSlots *slots, MemoryContext parent, Size limit);
extern void omen_slots_reset(OmenSlots *slots);
/*
 * Twice as many slots of slot_size bytes, or the first ones, of which there are first;
 * false, and full is set, if that would take too much memory.
 */
extern bool omen_slots_grow(OmenSlots *slots, uint64 first, Size slot_size,
							OmenMoveSlots move);

#endif							/* OMENDB_MEMORY_H */
