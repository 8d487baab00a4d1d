/*-------------------------------------------------------------------------
 *
 * agg.h
 *	  Aggregates and groups on vectors.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#ifndef OMENDB_AGG_H
#define OMENDB_AGG_H

#include "exec/expr.h"
#include "exec/memory.h"

/* ---- hashes ---- */

#define OMEN_HASH_1		UINT64CONST(0xA0761D6478BD642F)
#define OMEN_HASH_2		UINT64CONST(0xE7037ED1A0B428DB)

/* Both halves of the product: each bit of the result depends on all bits */
static inline uint64
omen_hash_fold(uint64 a, uint64 b)
{
	uint128		product = (uint128) a * b;

	return (uint64) product ^ (uint64) (product >> 64);
}

static inline uint64
omen_hash_int(uint64 value)
{
	return omen_hash_fold(value ^ OMEN_HASH_1, OMEN_HASH_2);
}

/* ---- aggregates (agg.c) ---- */

typedef struct OmenAgg OmenAgg;
typedef struct OmenDistinct OmenDistinct;

/*
 * Advance states by the selected rows.  groups[k]: the group of the k'th
 * selected row; NULL: all rows belong to single.  A group's state is at offset
 * agg->offset of it.
 */
typedef void (*OmenAggAdvance) (OmenAgg *agg, OmenProgram *program,
								OmenBatch *batch, const uint16 *sel, int nsel,
								char **groups, char *single);
/* The result of a state, in CurrentMemoryContext */
typedef Datum (*OmenAggFinal) (OmenAgg *agg, char *state, bool *isnull);

struct OmenAgg
{
	OmenAggAdvance advance;		/* NULL: shares a state */
	OmenAggFinal final;
	Oid			aggfnoid;
	int			mode;			/* of advance and final */
	Size		offset;			/* of the state in a group */
	Size		size;			/* of the state */
	OmenExpr   *arg;			/* or NULL */
	uint16	   *parts;			/* all rows, if arg is computed in parts, or NULL */
	OmenExpr   *filter;			/* or NULL */
	uint16	   *rows;			/* for filter */
	char	  **filtered;		/* groups of rows */
	Oid			collation;
	FmgrInfo	transfn;		/* min, max of types without a kernel */
	int16		typlen;
	bool		typbyval;
	MemoryContext mcxt;			/* what states point to */
	OmenDistinct *distinct;		/* count(DISTINCT x): seen values */
	bool		overflow;		/* a sum of floats did, of any group */
	Expr	   *base;			/* the expression of arg, or NULL */

	/* of a sum of column + addend, arg is the column; see agg.c */
	int64		addend;
	OmenExpr   *sum_arg;		/* column + addend; NULL: it always fits */
	int64		low;			/* it fits for columns of low .. high */
	int64		high;
};

/* Is there a vectorised form of the aggregate? */
extern bool omen_agg_supported(const Aggref *aggref);
/*
 * Set up.  states: the context of what states point to.  grouped: with GROUP BY.
 * The caller fills in offset.
 */
extern OmenAgg *omen_agg_create(OmenProgram *program, Aggref *aggref,
								MemoryContext states, bool grouped);
/*
 * If the state of other, which is advanced before, is the state of agg (avg and
 * sum of the same), make it that, and return true.
 */
extern bool omen_agg_share(OmenAgg *agg, const Aggref *aggref,
						   const OmenAgg *other, const Aggref *other_aggref);
/* Apply the filter, then advance */
extern void omen_agg_advance(OmenAgg *agg, OmenProgram *program,
							 OmenBatch *batch, const uint16 *sel, int nsel,
							 char **groups, char *single);

/*
 * All rows of a pass have been seen: states are complete after this.  And the
 * states of a pass are no longer needed.
 */
extern void omen_agg_finish(OmenAgg *agg);
extern void omen_agg_reset(OmenAgg *agg);

/* ---- count(DISTINCT x) (distinct.c) ---- */

/*
 * The values that eqop tells apart, of all groups, if there are such; in
 * CurrentMemoryContext.  They take hash_mem, or what omen_distinct_limit() says.
 * attno: the column, if they are one's.
 */
extern OmenDistinct *omen_distinct_create(Oid type, Oid eqop, Oid collation,
										  bool grouped, AttrNumber attno);
extern void omen_distinct_limit(OmenDistinct *distinct, Size limit);
extern Size omen_distinct_memory(const OmenDistinct *distinct);
/*
 * Add the selected rows' values that are not null.  The counter, an int64 at
 * offset of the row's group (see OmenAggAdvance), goes up by one for each new
 * value, at the latest in omen_distinct_finish().
 */
extern void omen_distinct_advance(OmenDistinct *distinct,
								  const OmenVec *values, Size offset,
								  const uint16 *sel, int nsel, char **groups,
								  char *single);
/*
 * The same without groups, by way of the column's dictionary.  False, and nothing has
 * been done, if that is not to be had.
 */
extern bool omen_distinct_advance_codes(OmenDistinct *distinct,
										OmenBatch *batch, Size offset,
										const uint16 *sel, int nsel,
										char *single);
extern void omen_distinct_finish(OmenDistinct *distinct);
/* Forget all values; what finish has not counted yet is lost */
extern void omen_distinct_reset(OmenDistinct *distinct);

/* ---- sets of integers (intset.c) ---- */

typedef struct OmenIntSet
{
	OmenSlots	slots;			/* of uint64; 0 = free */
	bool		has_zero;		/* 0 is in the set */
} OmenIntSet;

/* An empty set; in CurrentMemoryContext, but for its slots */
extern OmenIntSet *omen_intset_create(MemoryContext parent, Size limit);
extern void omen_intset_reset(OmenIntSet *set);
/*
 * Add the selected rows' values, none of which is null.  Returns how many of them
 * were new.  Once the set is full, rows whose values are not in it are listed
 * in missing, by their place in sel.
 */
extern int64 omen_intset_add(OmenIntSet *set, const Datum *values,
							 const uint16 *sel, int nsel, uint16 *missing,
							 int *nmissing);

/* ---- sets of pairs of a counter and an integer (pairset.c) ---- */

typedef struct OmenPair
{
	int64	   *counter;		/* NULL = the slot is free */
	uint64		value;
} OmenPair;

static inline uint64
omen_pair_hash(const int64 *counter, uint64 value)
{
	return omen_hash_int(value + (uint64) (uintptr_t) counter * OMEN_HASH_2);
}

/*
 * Add the selected rows' pairs to a set, with the address of an int64 in counters and
 * no value null, and add 1 to the counter of each that is new.  Once the set is
 * full, rows whose pairs are not in it are listed in missing, by their place in
 * sel.
 */
extern void omen_pairset_count(OmenSlots *set, const Datum *counters,
							   const Datum *values, const uint16 *sel,
							   int nsel, uint16 *missing, int *nmissing);

/* ---- groups (groups.c) ---- */

typedef enum OmenKeyKind
{
	OMEN_KEY_INT,				/* passed by value, equal if the bits are */
	OMEN_KEY_FLOAT,				/* float8: zeros and NaNs are equal */
	OMEN_KEY_FLOAT4,
	OMEN_KEY_BYTES,				/* varlena, equal if the bytes are */
	OMEN_KEY_BPCHAR,			/* the same, but for trailing blanks */
	OMEN_KEY_FIXED,				/* typlen bytes by reference */
	OMEN_KEY_OTHER				/* its operators decide */
} OmenKeyKind;

typedef struct OmenKey
{
	OmenKeyKind kind;
	int16		typlen;
	bool		typbyval;
	Oid			collation;
	FmgrInfo	hash;			/* OMEN_KEY_OTHER */
	FmgrInfo	equal;
	Size		number_offset;	/* of an interned value's number at its
								 * address; 0 = the key is no such address */
} OmenKey;

#define OMEN_COMBINED_KEYS	4

/* Groups by several keys of small domains: see combine.c */
typedef struct OmenCombined
{
	char	  **groups;			/* by code; NULL = not laid out yet */
	bool		given_up;
	int64		low[OMEN_COMBINED_KEYS];	/* of all numbers so far */
	int64		high[OMEN_COMBINED_KEYS];
	int64		base[OMEN_COMBINED_KEYS];	/* of the codes */
	int			bits[OMEN_COMBINED_KEYS];
	int			shift[OMEN_COMBINED_KEYS];
	uint32		codes[OMEN_BATCH_ROWS]; /* of the batch at hand */
} OmenCombined;

/*
 * Can values be grouped by this equality operator here?  Fills in key if it is
 * not NULL.
 */
extern bool omen_key_init(OmenKey *key, Oid type, Oid eqop, Oid collation);

/*
 * A group: key values, their null flags, then room for states, zeroed at first.
 */
typedef struct OmenGroups
{
	int			nkeys;
	OmenKey    *keys;
	bool		ints_only;		/* all of kind OMEN_KEY_INT */
	Size		states_offset;
	Size		size;			/* of a group */
	MemoryContext mcxt;			/* groups and their keys; is reset */
	OmenArena	arena;			/* in mcxt */
	MemoryContext scratch;		/* of a batch */
	Size		limit;			/* bytes of mcxt */
	bool		full;			/* no new groups */

	/* in the order of their first row: omen_group() */
	int64		ngroups;
	char	  **blocks;			/* of 1 << block_shift groups each */
	int64		maxblocks;
	int			block_shift;
	int64		block_mask;

	uint32		mask;			/* of table */
	struct OmenGroupSlot *table;
	void	   *table_chunk;	/* for pfree() */
	Size		table_unused;	/* of mcxt */

	/* a single integer key: groups of values near one another; of some others */
	char	  **dense;
	int64		dense_base;
	struct OmenRecentGroup *recent;

	OmenCombined combined;		/* several keys, ints_only */

	uint64	   *hashes;			/* of a batch's rows */
} OmenGroups;

#define OmenGroupKeys(group)	((Datum *) (group))
#define OmenGroupNulls(groups, group) \
	((bool *) ((group) + sizeof(Datum) * (groups)->nkeys))

static inline char *
omen_group(const OmenGroups *groups, int64 n)
{
	return groups->blocks[n >> groups->block_shift] +
		(n & groups->block_mask) * groups->size;
}

extern OmenGroups *omen_groups_create(int nkeys, OmenKey *keys,
									  Size states_size, MemoryContext parent,
									  Size limit);
extern void omen_groups_reset(OmenGroups *groups);
/*
 * Find or make the groups of the selected rows.  found[k] is NULL where the
 * group is new and the limit has been reached.  Hashes of the rows are in
 * groups->hashes[k] then.
 */
extern void omen_groups_lookup(OmenGroups *groups, OmenVec **keys,
							   const uint16 *sel, int nsel, char **found);
/* Bytes of mcxt */
extern Size omen_groups_memory(const OmenGroups *groups);
/* Is memory used up? */
extern void omen_groups_check_limit(OmenGroups *groups, Size others);
/* Hashes of the selected rows' keys: equal for equal keys */
extern void omen_keys_hash(const OmenKey *keys, int nkeys, OmenVec **vecs,
						   const uint16 *sel, int nsel, uint64 *hashes);

/* ---- groups by several keys of small domains (combine.c) ---- */

extern void omen_combined_reset(OmenCombined *combined);
/*
 * Find groups of selected rows (nsel > 0), all of whose keys are integers.  Returns
 * false if that is not possible.  Else found[k] is NULL for the rows (that is, places
 * in sel) in rest, which are to be looked up otherwise, and then to be told to
 * omen_combined_remember().
 */
extern bool omen_combined_lookup(OmenGroups *groups, OmenVec **keys,
								 const uint16 *sel, int nsel, char **found,
								 uint16 *rest, int *nrest);
extern void omen_combined_remember(OmenGroups *groups, char **found,
								   const uint16 *rest, int nrest);

/* ---- keys by dictionaries (keys.c) ---- */

typedef struct OmenKeyCodes OmenKeyCodes;
typedef struct OmenInterned OmenInterned;

/* groups: their only key is column attno.  In CurrentMemoryContext. */
extern OmenKeyCodes *omen_key_codes_create(OmenGroups *groups,
										   AttrNumber attno);
/*
 * As omen_groups_lookup(), by way of the column's dictionary.  False, and
 * nothing has been done, if that is not to be had, or if the groups are full.
 */
extern bool omen_key_codes_lookup(OmenKeyCodes *codes, OmenBatch *batch,
								  const uint16 *sel, int nsel, char **found);
/* Groups have been reset */
extern void omen_key_codes_reset(OmenKeyCodes *codes);

/*
 * Values of a column, each of which gets an address until the next reset.
 * Equal values must be the same to the user: see omen_key_can_be_interned().
 */
extern bool omen_key_can_be_interned(const OmenKey *key, int32 typmod);
extern OmenInterned *omen_interned_create(const OmenKey *key,
										  AttrNumber attno,
										  MemoryContext parent, Size limit);
extern void omen_interned_reset(OmenInterned *interned);
/* Where a value's number is at its address: 0, 1, 2 ... as they come */
extern Size omen_interned_number_offset(const OmenInterned *interned);
extern Size omen_interned_memory(const OmenInterned *interned);
/*
 * Addresses of the selected rows' values (no nulls: a null has one, too).  expr:
 * the column.  full: new values get none, but (Datum) 0.
 */
extern OmenVec *omen_interned_lookup(OmenInterned *interned, OmenExpr *expr,
									 OmenProgram *program, OmenBatch *batch,
									 const uint16 *sel, int nsel, bool full);
extern Datum omen_interned_value(const OmenInterned *interned, Datum address,
								 bool *isnull);

#endif							/* OMENDB_AGG_H */
