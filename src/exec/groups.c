/*-------------------------------------------------------------------------
 *
 * groups.c
 *	  Groups of rows with equal keys: a hash table on vectors.
 *
 * Equality is that of the grouping operator.  Of values that are equal but not
 * the same (-0 and 0, 'a' and 'a ' as char(2)) the first one stands for all,
 * as in a hashed aggregate of PostgreSQL's.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "exec/agg.h"

#include <math.h>

#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "prefetch.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

typedef struct OmenGroupSlot
{
	uint32		hash;
	uint32		index;			/* of the group, + 1; 0 = free */
} OmenGroupSlot;

#define FIRST_TABLE_SIZE	1024
#define GROUP_BLOCK_SIZE	(32 * 1024)

/* From this number of groups on, memory is asked for ahead of its use */
#define PREFETCH_GROUPS		2048
#define PREFETCH_ROWS		64	/* for so many rows at a time */

/* A single integer key: values base .. base + DENSE_VALUES - 1 need no hash */
#define DENSE_VALUES		65536

/*
 * And of others: the last group that was found of each hash of one byte.  With many
 * groups it would not be there for long.
 */
#define RECENT_GROUPS		256

typedef struct OmenRecentGroup
{
	int64		value;
	char	   *group;			/* NULL: none */
} OmenRecentGroup;

static inline int
recent_slot(int64 value)
{
	return (int) (((uint64) value * UINT64CONST(0x9E3779B97F4A7C15)) >> 56);
}

/* See agg.h */
bool
omen_key_init(OmenKey *key, Oid type, Oid eqop, Oid collation)
{
	OmenKey		local;
	Oid			eqfunc = get_opcode(eqop);
	bool		bytes_decide;

	if (key == NULL)
		key = &local;
	memset(key, 0, sizeof(*key));
	get_typlenbyval(type, &key->typlen, &key->typbyval);
	key->collation = collation;
	bytes_decide = !OidIsValid(collation) || collation == C_COLLATION_OID ||
		collation == DEFAULT_COLLATION_OID ||
		get_collation_isdeterministic(collation);

	switch (eqfunc)
	{
		case F_INT2EQ:
		case F_INT4EQ:
		case F_INT8EQ:
		case F_OIDEQ:
		case F_BOOLEQ:
#ifndef __CHAR_UNSIGNED__			/* else chunks have other Datums of it */
		case F_CHAREQ:
#endif
		case F_DATE_EQ:
		case F_TIME_EQ:
		case F_TIMESTAMP_EQ:
		case F_TIMESTAMPTZ_EQ:
		case F_CASH_EQ:
		case F_ENUM_EQ:
			key->kind = OMEN_KEY_INT;
			return key->typbyval;
		case F_FLOAT8EQ:
			key->kind = OMEN_KEY_FLOAT;
			return key->typbyval;
		case F_FLOAT4EQ:
			key->kind = OMEN_KEY_FLOAT4;
			return key->typbyval;
		case F_TEXTEQ:
			if (OidIsValid(collation) && bytes_decide)
			{
				key->kind = OMEN_KEY_BYTES;
				return true;
			}
			break;
		case F_BYTEAEQ:
			key->kind = OMEN_KEY_BYTES;
			return true;
		case F_BPCHAREQ:
			if (OidIsValid(collation) && bytes_decide)
			{
				key->kind = OMEN_KEY_BPCHAR;
				return true;
			}
			break;
		case F_UUID_EQ:
			key->kind = OMEN_KEY_FIXED;
			return true;
		default:
			break;
	}
	if (key->typlen == -2)
		return false;
	if (!op_hashjoinable(eqop, type) ||
		(type == RECORDOID || type == RECORDARRAYOID))
		return false;
	else
	{
		Oid			hashfunc;
		Oid			right;

		if (!get_op_hash_functions(eqop, &hashfunc, &right) ||
			hashfunc != right)
			return false;
		key->kind = OMEN_KEY_OTHER;
		if (key != &local)
		{
			fmgr_info(hashfunc, &key->hash);
			fmgr_info(eqfunc, &key->equal);
		}
		return true;
	}
}

/* See agg.h */
OmenGroups *
omen_groups_create(int nkeys, OmenKey *keys, Size states_size,
				   MemoryContext parent, Size limit)
{
	OmenGroups *groups = palloc0(sizeof(OmenGroups));

	groups->nkeys = nkeys;
	groups->keys = keys;
	groups->ints_only = true;
	for (int c = 0; c < nkeys; c++)
		groups->ints_only &= keys[c].kind == OMEN_KEY_INT;
	groups->states_offset = TYPEALIGN(16, (sizeof(Datum) + sizeof(bool)) * nkeys);
	groups->size = TYPEALIGN(16, groups->states_offset + states_size);
	while ((groups->size << (groups->block_shift + 1)) <= GROUP_BLOCK_SIZE)
		groups->block_shift++;
	groups->block_mask = ((int64) 1 << groups->block_shift) - 1;
	groups->mcxt = AllocSetContextCreate(parent, "omendb groups",
										 ALLOCSET_DEFAULT_SIZES);
	groups->scratch = AllocSetContextCreate(parent, "omendb group keys",
											ALLOCSET_DEFAULT_SIZES);
	groups->limit = limit;
	omen_arena_init(&groups->arena, groups->mcxt, limit);
	groups->hashes = palloc(sizeof(uint64) * OMEN_BATCH_ROWS);
	omen_groups_reset(groups);
	return groups;
}

/* See agg.h */
void
omen_groups_reset(OmenGroups *groups)
{
	MemoryContextReset(groups->mcxt);
	omen_arena_reset(&groups->arena);
	groups->full = false;
	groups->ngroups = 0;
	groups->blocks = NULL;
	groups->maxblocks = 0;
	groups->table = NULL;
	groups->table_unused = 0;
	groups->mask = 0;
	groups->dense = NULL;
	groups->recent = NULL;
	omen_combined_reset(&groups->combined);
}

/* See agg.h */
Size
omen_groups_memory(const OmenGroups *groups)
{
	return MemoryContextMemAllocated(groups->mcxt, true) -
		groups->arena.unused - groups->table_unused;
}

/* See agg.h */
void
omen_groups_check_limit(OmenGroups *groups, Size others)
{
	if (!groups->full && groups->ngroups > 0 &&
		omen_groups_memory(groups) + others > groups->limit)
		groups->full = true;
}

/* ------------------------------------------------------------------------
 * Hashes and equality
 * ------------------------------------------------------------------------
 */

#define HASH_SEED	UINT64CONST(0x9E3779B97F4A7C15)
#define HASH_NULL	UINT64CONST(0x2545F4914F6CDD1D)

/* Two keys of equal values must not cancel each other out */
static inline uint64
combine(uint64 a, uint64 b)
{
	return omen_hash_int((a << 29 | a >> 35) ^ b);
}

static inline uint64
load8(const char *p)
{
	uint64		word;

	memcpy(&word, p, sizeof(word));
	return word;
}

static inline uint64
load4(const char *p)
{
	uint32		word;

	memcpy(&word, p, sizeof(word));
	return word;
}

static inline uint64
hash_bytes_fast(const char *p, Size n)
{
	uint64		h = HASH_SEED ^ n;
	uint64		a = 0;
	uint64		b = 0;

	for (; n > 16; p += 16, n -= 16)
		h = omen_hash_fold(load8(p) ^ OMEN_HASH_1, load8(p + 8) ^ h);
	if (n >= 8)
	{
		a = load8(p);
		b = load8(p + n - 8);
	}
	else if (n >= 4)
	{
		a = load4(p);
		b = load4(p + n - 4);
	}
	else if (n > 0)
		a = (uint64) (uint8) p[0] << 16 | (uint64) (uint8) p[n / 2] << 8 |
			(uint64) (uint8) p[n - 1];
	return omen_hash_fold(a ^ OMEN_HASH_1, b ^ h ^ OMEN_HASH_2);
}

/* The bits that equal floats share */
static inline int64
float_bits(float8 value)
{
	int64		bits;

	if (isnan(value))
		return INT64CONST(0x7FF8000000000000);
	if (value == 0.0)
		return 0;
	memcpy(&bits, &value, sizeof(bits));
	return bits;
}

/*
 * Bytes of a varlena.  If it has to be detoasted, *copy is what the caller frees
 * afterwards, else NULL: a batch of long values would not fit in memory.
 */
static inline const char *
get_bytes(const OmenKey *key, Datum value, Size *length, void **copy)
{
	struct varlena *p = (struct varlena *) DatumGetPointer(value);
	const char *data;

	*copy = NULL;
	if (unlikely(omen_is_toasted(p)))
		*copy = p = PG_DETOAST_DATUM_PACKED(value);
	data = VARDATA_ANY(p);
	*length = VARSIZE_ANY_EXHDR(p);
	if (key->kind == OMEN_KEY_BPCHAR)
		*length = bpchartruelen((char *) data, *length);
	return data;
}

/* Addresses of values whose hash is remembered for a batch */
#define HASH_MEMORY	64

/* Hashes of a column's values, body computes h of value */
#define HASH_ROWS(body) \
	do { \
		for (int k = 0; k < nsel; k++) \
		{ \
			int			i = sel ? sel[k] : k; \
			uint64		h = HASH_NULL; \
			if (!(isnull && isnull[i])) \
			{ \
				Datum		value = values[i]; \
				body; \
			} \
			hashes[k] = first ? h : combine(hashes[k], h); \
		} \
	} while (0)

static void
hash_column(const OmenKey *key, const OmenVec *vec, const uint16 *sel,
			int nsel, uint64 *hashes, bool first)
{
	const Datum *values = vec->values;
	const bool *isnull = vec->isnull;
	Size		length;
	const char *bytes;
	void	   *copy;

	switch (key->kind)
	{
		case OMEN_KEY_INT:
			HASH_ROWS(h = omen_hash_int((uint64) value));
			break;
		case OMEN_KEY_FLOAT:
			HASH_ROWS(h = omen_hash_int((uint64) float_bits(DatumGetFloat8(value))));
			break;
		case OMEN_KEY_FLOAT4:
			HASH_ROWS(h = omen_hash_int((uint64) float_bits(DatumGetFloat4(value))));
			break;
		case OMEN_KEY_BYTES:
		case OMEN_KEY_BPCHAR:
			HASH_ROWS(bytes = get_bytes(key, value, &length, &copy);
					  h = hash_bytes_fast(bytes, length);
					  if (unlikely(copy != NULL))
					  pfree(copy));
			break;
		case OMEN_KEY_FIXED:
			HASH_ROWS(h = hash_bytes_fast(DatumGetPointer(value),
										  key->typlen));
			break;
		case OMEN_KEY_OTHER:
			{
				/* values of dictionaries come again at the same address */
				Datum		seen[HASH_MEMORY] = {0};
				uint64		known[HASH_MEMORY];

				HASH_ROWS(int at = (int) ((value >> 3) % HASH_MEMORY);
						  if (key->typbyval || seen[at] != value)
						  {
							  known[at] = omen_hash_int(DatumGetUInt32(FunctionCall1Coll((FmgrInfo *) &key->hash,
																			   key->collation,
																			   value)));
							  seen[at] = value;
						  }
						  h = known[at]);
			}
			break;
	}
}

/* See agg.h */
void
omen_keys_hash(const OmenKey *keys, int nkeys, OmenVec **vecs,
			   const uint16 *sel, int nsel, uint64 *hashes)
{
	for (int c = 0; c < nkeys; c++)
		hash_column(&keys[c], vecs[c], sel, nsel, hashes, c == 0);
}

/* Longer ones than this are memcmp()'s */
#define SHORT_BYTES		32

/*
 * Are they the same n bytes?  Most keys are so short that a call of memcmp() takes
 * longer than their comparison.
 */
static inline bool
same_bytes(const char *a, const char *b, Size n)
{
	if (n > SHORT_BYTES)
		return memcmp(a, b, n) == 0;
	if (n >= 8)
	{
		/* the last eight may have been compared in part */
		uint64		differences = load8(a + n - 8) ^ load8(b + n - 8);

		for (; n > 8; a += 8, b += 8, n -= 8)
			differences |= load8(a) ^ load8(b);
		return differences == 0;
	}
	if (n >= 4)
		return load4(a) == load4(b) && load4(a + n - 4) == load4(b + n - 4);
	for (; n > 0; n--)
		if (a[n - 1] != b[n - 1])
			return false;
	return true;
}

/* Are two values equal?  Not inline: others than those most keys are of */
static pg_noinline bool
values_equal(const OmenKey *key, Datum a, Datum b)
{
	const char *pa;
	const char *pb;
	Size		na;
	Size		nb;
	void	   *copy_a;
	void	   *copy_b;
	bool		result;

	switch (key->kind)
	{
		case OMEN_KEY_INT:
			return a == b;
		case OMEN_KEY_FLOAT:
			return float_bits(DatumGetFloat8(a)) == float_bits(DatumGetFloat8(b));
		case OMEN_KEY_FLOAT4:
			return float_bits(DatumGetFloat4(a)) == float_bits(DatumGetFloat4(b));
		case OMEN_KEY_BYTES:
		case OMEN_KEY_BPCHAR:
			pa = get_bytes(key, a, &na, &copy_a);
			pb = get_bytes(key, b, &nb, &copy_b);
			result = na == nb && same_bytes(pa, pb, na);
			if (unlikely(copy_a != NULL))
				pfree(copy_a);
			if (unlikely(copy_b != NULL))
				pfree(copy_b);
			return result;
		case OMEN_KEY_FIXED:
			return memcmp(DatumGetPointer(a), DatumGetPointer(b),
						  key->typlen) == 0;
		default:
			return DatumGetBool(FunctionCall2Coll((FmgrInfo *) &key->equal,
												  key->collation, a, b));
	}
}

/* The same; keys of groups are integers and short texts before all */
static inline bool
keys_equal(const OmenKey *key, Datum a, Datum b)
{
	if (key->kind == OMEN_KEY_INT)
		return a == b;
	if (key->kind == OMEN_KEY_BYTES)
	{
		const char *pa = DatumGetPointer(a);
		const char *pb = DatumGetPointer(b);

		/* with a short header, which has the length, and is not toasted */
		if (VARATT_IS_1B(pa) && !VARATT_IS_1B_E(pa) &&
			VARATT_IS_1B(pb) && !VARATT_IS_1B_E(pb))
			return *pa == *pb && same_bytes(pa, pb, VARSIZE_1B(pa));
	}
	return values_equal(key, a, b);
}

/* The same where all keys are integers, or addresses of interned values */
static pg_attribute_always_inline bool
group_matches_ints(const OmenGroups *groups, const char *group,
				   OmenVec **keys, int i)
{
	const Datum *values = OmenGroupKeys(group);
	const bool *nulls = OmenGroupNulls(groups, group);
	Datum		differences = 0;

	for (int c = 0; c < groups->nkeys; c++)
	{
		bool		isnull = keys[c]->isnull && keys[c]->isnull[i];

		/* of a null the row's value is arbitrary */
		differences |= (isnull ? 0 : keys[c]->values[i] ^ values[c]) |
			(isnull ^ nulls[c]);
	}
	return differences == 0;
}

static pg_attribute_always_inline bool
group_matches(const OmenGroups *groups, char *group, OmenVec **keys, int i)
{
	const Datum *values = OmenGroupKeys(group);
	const bool *nulls = OmenGroupNulls(groups, group);

	if (groups->ints_only)
		return group_matches_ints(groups, group, keys, i);
	for (int c = 0; c < groups->nkeys; c++)
	{
		bool		isnull = keys[c]->isnull && keys[c]->isnull[i];

		if (isnull != nulls[c])
			return false;
		if (!isnull &&
			!keys_equal(&groups->keys[c], values[c], keys[c]->values[i]))
			return false;
	}
	return true;
}

/* ------------------------------------------------------------------------
 * The table
 * ------------------------------------------------------------------------
 */

static void
grow_table(OmenGroups *groups)
{
	uint64		size = groups->table ? ((uint64) groups->mask + 1) * 2 :
		FIRST_TABLE_SIZE;
	OmenGroupSlot *old = groups->table;
	void	   *old_chunk = groups->table_chunk;
	OmenGroupSlot *table;

	groups->table_unused = 0;
	table = (OmenGroupSlot *)
		omen_large_alloc(groups->mcxt, size * sizeof(OmenGroupSlot),
						 &groups->table_chunk, &groups->table_unused);
	memset(table, 0, size * sizeof(OmenGroupSlot));
	if (old)
		for (uint64 s = 0; s <= groups->mask; s++)
			if (old[s].index != 0)
			{
				uint64		at = old[s].hash & (size - 1);

				while (table[at].index != 0)
					at = (at + 1) & (size - 1);
				table[at] = old[s];
			}
	if (old)
		pfree(old_chunk);
	groups->table = table;
	groups->mask = (uint32) (size - 1);
}

/* Copy a key; toasted values as they are, as the row path keeps them */
static inline Datum
copy_key(OmenGroups *groups, const OmenKey *key, Datum value)
{
	const char *p = DatumGetPointer(value);
	Size		size;
	char	   *copy;

	if (key->typbyval)
		return value;
	if (key->typlen == -1)
	{
		if (VARATT_IS_EXTERNAL_EXPANDED(p))
			return datumCopy(value, false, -1);
		size = VARSIZE_ANY(p);
		copy = omen_arena_alloc(&groups->arena, size,
								VARATT_IS_1B(p) ? 1 : MAXIMUM_ALIGNOF);
	}
	else
	{
		size = datumGetSize(value, false, key->typlen);
		copy = omen_arena_alloc(&groups->arena, size, MAXIMUM_ALIGNOF);
	}
	memcpy(copy, p, size);
	return PointerGetDatum(copy);
}

/* Make a group with the keys of row i */
static char *
new_group(OmenGroups *groups, OmenVec **keys, int i)
{
	char	   *group;
	MemoryContext old = MemoryContextSwitchTo(groups->mcxt);

	if ((groups->ngroups & groups->block_mask) == 0)
	{
		int64		block = groups->ngroups >> groups->block_shift;

		if (block >= groups->maxblocks)
		{
			groups->maxblocks = Max(16, groups->maxblocks * 2);
			groups->blocks = groups->blocks ?
				repalloc_huge(groups->blocks,
							  sizeof(char *) * groups->maxblocks) :
				palloc(sizeof(char *) * groups->maxblocks);
		}
		groups->blocks[block] =
			omen_arena_alloc(&groups->arena,
							 groups->size << groups->block_shift,
							 OMEN_ARENA_ALIGN);
		memset(groups->blocks[block], 0, groups->size << groups->block_shift);
	}
	group = omen_group(groups, groups->ngroups);

	for (int c = 0; c < groups->nkeys; c++)
	{
		OmenKey    *key = &groups->keys[c];
		bool		isnull = keys[c]->isnull && keys[c]->isnull[i];

		OmenGroupNulls(groups, group)[c] = isnull;
		if (isnull)
			OmenGroupKeys(group)[c] = (Datum) 0;
		else
			OmenGroupKeys(group)[c] = copy_key(groups, key, keys[c]->values[i]);
	}

	groups->ngroups++;
	MemoryContextSwitchTo(old);
	return group;
}

/* The group of row i, by way of the table; NULL if there is no room for it */
static char *
lookup(OmenGroups *groups, OmenVec **keys, int i, uint32 hash)
{
	uint32		at;
	char	   *group;

	if (groups->table == NULL ||
		groups->ngroups * 2 > (int64) groups->mask)
	{
		if (groups->table == NULL || !groups->full)
			grow_table(groups);
	}
	at = hash & groups->mask;
	while (groups->table[at].index != 0)
	{
		if (groups->table[at].hash == hash)
		{
			group = omen_group(groups, groups->table[at].index - 1);
			if (group_matches(groups, group, keys, i))
				return group;
		}
		at = (at + 1) & groups->mask;
	}
	if (groups->full || groups->ngroups >= PG_UINT32_MAX - 1)
		return NULL;
	group = new_group(groups, keys, i);
	groups->table[at].hash = hash;
	groups->table[at].index = (uint32) groups->ngroups;
	return group;
}

/* The group of a hash, which is likely to be that of the row; or NULL */
static inline char *
guess_group(const OmenGroups *groups, uint32 hash)
{
	uint32		at = hash & groups->mask;

	while (groups->table[at].index != 0)
	{
		if (groups->table[at].hash == hash)
			return omen_group(groups, groups->table[at].index - 1);
		at = (at + 1) & groups->mask;
	}
	return NULL;
}

/*
 * Groups of the selected rows, or of those of them that rest lists, by way of
 * the table.  Their hashes have been computed.
 */
static void
lookup_rows(OmenGroups *groups, OmenVec **keys, const uint16 *sel,
			const uint16 *rest, int n, char **found)
{
	const uint64 *hashes = groups->hashes;
	bool		by_reference = !groups->keys[0].typbyval;
	bool		two_lines = OMEN_ARENA_ALIGN % groups->size != 0;
	char	   *guesses[PREFETCH_ROWS];

#define ROW(j) (rest ? rest[j] : (j))
	if (groups->ngroups < PREFETCH_GROUPS)
	{
		for (int j = 0; j < n; j++)
		{
			int			k = ROW(j);

			found[k] = lookup(groups, keys, sel ? sel[k] : k,
							  (uint32) hashes[k]);
		}
		return;
	}

	/*
	 * Some rows at a time: slots first, then the groups they name, then the keys
	 * these point to.  All of a group is asked for, as what advances states comes
	 * soon.
	 */
	for (int start = 0; start < n; start += PREFETCH_ROWS)
	{
		int			end = Min(start + PREFETCH_ROWS, n);

		for (int j = start; j < end; j++)
			omen_prefetch(&groups->table[(uint32) hashes[ROW(j)] &
										 groups->mask]);
		for (int j = start; j < end; j++)
		{
			char	   *guess = guess_group(groups, (uint32) hashes[ROW(j)]);

			guesses[j - start] = guess;
			if (guess != NULL)
			{
				omen_prefetch(guess);
				if (two_lines)
					omen_prefetch(guess + groups->size - 1);
			}
		}
		if (by_reference)
			for (int j = start; j < end; j++)
				if (guesses[j - start] != NULL)
					omen_prefetch(DatumGetPointer(OmenGroupKeys(guesses[j - start])[0]));
		for (int j = start; j < end; j++)
		{
			int			k = ROW(j);
			int			i = sel ? sel[k] : k;
			char	   *guess = guesses[j - start];

			if (likely(guess != NULL) && group_matches(groups, guess, keys, i))
				found[k] = guess;
			else
				found[k] = lookup(groups, keys, i, (uint32) hashes[k]);
		}
	}
#undef ROW
}

/* Hashes of those of the selected rows that rest lists */
static void
hash_rest(OmenGroups *groups, OmenVec **keys, const uint16 *sel,
		  const uint16 *rest, int nrest)
{
	uint16		rows[OMEN_BATCH_ROWS];
	uint64		hashes[OMEN_BATCH_ROWS];

	if (nrest == 0)
		return;
	for (int j = 0; j < nrest; j++)
		rows[j] = sel ? sel[rest[j]] : rest[j];
	omen_keys_hash(groups->keys, groups->nkeys, keys, rows, nrest, hashes);
	for (int j = 0; j < nrest; j++)
		groups->hashes[rest[j]] = hashes[j];
}

/*
 * One key whose hash and comparison are functions: rows with a value at the same
 * address, as those of dictionaries and of functions with few results, need no
 * look-up of their own.  (Within a batch no value moves.)
 */
static void
lookup_addresses(OmenGroups *groups, OmenVec **keys, const uint16 *sel,
				 int nsel, char **found)
{
	const OmenVec *vec = keys[0];
	Datum		seen[HASH_MEMORY] = {0};
	int			known[HASH_MEMORY]; /* the row that has been looked up */
	uint16		same[OMEN_BATCH_ROWS];
	uint16		rest[OMEN_BATCH_ROWS];
	int			nrest = 0;

	rest[0] = 0;				/* for the compiler */
	for (int k = 0; k < nsel; k++)
	{
		int			i = sel ? sel[k] : k;
		Datum		value = vec->values[i];
		int			at = (int) ((value >> 3) % HASH_MEMORY);

		if (vec->isnull && vec->isnull[i])
			value = (Datum) &groups->ngroups;	/* no value's address */
		if (seen[at] != value)
		{
			seen[at] = value;
			known[at] = k;
			rest[nrest++] = (uint16) k;
		}
		same[k] = (uint16) known[at];
	}
	hash_rest(groups, keys, sel, rest, nrest);
	lookup_rows(groups, keys, sel, rest, nrest, found);
	for (int k = 0; k < nsel; k++)
	{
		found[k] = found[same[k]];
		groups->hashes[k] = groups->hashes[same[k]];
	}
}

/* See agg.h */
void
omen_groups_lookup(OmenGroups *groups, OmenVec **keys, const uint16 *sel,
				   int nsel, char **found)
{
	uint64	   *hashes = groups->hashes;
	MemoryContext old;

	if (nsel == 0)
		return;

	/* one integer: values near the first need no table */
	if (groups->nkeys == 1 && groups->keys[0].kind == OMEN_KEY_INT)
	{
		const OmenVec *vec = keys[0];
		int			first = sel ? sel[0] : 0;

		if (groups->dense == NULL && !groups->full &&
			groups->limit >= 4 * sizeof(char *) * DENSE_VALUES)
		{
			groups->dense =
				MemoryContextAllocZero(groups->mcxt,
									   sizeof(char *) * DENSE_VALUES);
			groups->recent =
				MemoryContextAllocZero(groups->mcxt,
									   sizeof(OmenRecentGroup) * RECENT_GROUPS);
			groups->dense_base = vec->isnull && vec->isnull[first] ? 0 :
				(int64) vec->values[first] & ~((int64) DENSE_VALUES - 1);
		}
		if (groups->dense)
		{
			OmenRecentGroup *recent = groups->ngroups <= 4 * RECENT_GROUPS ?
				groups->recent : NULL;
			uint16		rest[OMEN_BATCH_ROWS];
			int			nrest = 0;

			for (int k = 0; k < nsel; k++)
			{
				int			i = sel ? sel[k] : k;
				uint64		at = (uint64) vec->values[i] -
					(uint64) groups->dense_base;
				bool		isnull = vec->isnull && vec->isnull[i];

				if (at < DENSE_VALUES && !isnull)
				{
					found[k] = groups->dense[at];
					if (likely(found[k] != NULL))
						continue;
				}
				else if (recent != NULL && !isnull)
				{
					int64		value = (int64) vec->values[i];

					if (likely(recent[recent_slot(value)].value == value))
					{
						found[k] = recent[recent_slot(value)].group;
						if (likely(found[k] != NULL))
							continue;
					}
				}
				hashes[k] = isnull ? HASH_NULL : omen_hash_int((uint64) vec->values[i]);
				rest[nrest++] = (uint16) k;
			}
			if (nrest == 0)
				return;
			lookup_rows(groups, keys, sel, rest, nrest, found);
			for (int j = 0; j < nrest; j++)
			{
				int			k = rest[j];
				int			i = sel ? sel[k] : k;
				uint64		at = (uint64) vec->values[i] -
					(uint64) groups->dense_base;

				if (vec->isnull && vec->isnull[i])
					continue;
				if (at < DENSE_VALUES)
					groups->dense[at] = found[k];
				else if (recent != NULL)
				{
					OmenRecentGroup *r = &recent[recent_slot((int64) vec->values[i])];

					r->value = (int64) vec->values[i];
					r->group = found[k];
				}
			}
			return;
		}
	}

	MemoryContextReset(groups->scratch);
	old = MemoryContextSwitchTo(groups->scratch);
	if (groups->nkeys == 1 && groups->keys[0].kind == OMEN_KEY_OTHER &&
		!groups->keys[0].typbyval)
	{
		lookup_addresses(groups, keys, sel, nsel, found);
		MemoryContextSwitchTo(old);
		return;
	}
	if (groups->nkeys > 1 && groups->nkeys <= OMEN_COMBINED_KEYS &&
		groups->ints_only)
	{
		uint16		rest[OMEN_BATCH_ROWS];
		int			nrest;

		if (omen_combined_lookup(groups, keys, sel, nsel, found, rest, &nrest))
		{
			hash_rest(groups, keys, sel, rest, nrest);
			lookup_rows(groups, keys, sel, rest, nrest, found);
			omen_combined_remember(groups, found, rest, nrest);
			MemoryContextSwitchTo(old);
			return;
		}
	}
	omen_keys_hash(groups->keys, groups->nkeys, keys, sel, nsel, hashes);
	lookup_rows(groups, keys, sel, NULL, nsel, found);
	MemoryContextSwitchTo(old);
}
