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
#define GROUP_BLOCK_SIZE	(64 * 1024)

/* A single integer key: values base .. base + DENSE_VALUES - 1 need no hash */
#define DENSE_VALUES		65536

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
	groups->states_offset = TYPEALIGN(16, (sizeof(Datum) + sizeof(bool)) * nkeys);
	groups->size = TYPEALIGN(16, groups->states_offset + states_size);
	groups->mcxt = AllocSetContextCreate(parent, "omendb groups",
										 ALLOCSET_DEFAULT_SIZES);
	groups->scratch = AllocSetContextCreate(parent, "omendb group keys",
											ALLOCSET_DEFAULT_SIZES);
	groups->limit = limit;
	groups->hashes = palloc(sizeof(uint64) * OMEN_BATCH_ROWS);
	omen_groups_reset(groups);
	return groups;
}

/* See agg.h */
void
omen_groups_reset(OmenGroups *groups)
{
	MemoryContextReset(groups->mcxt);
	groups->full = false;
	groups->ngroups = 0;
	groups->groups = NULL;
	groups->maxgroups = 0;
	groups->table = NULL;
	groups->mask = 0;
	groups->table_bytes = 0;
	groups->block = NULL;
	groups->block_left = 0;
	groups->dense = NULL;
}

/* See agg.h */
void
omen_groups_check_limit(OmenGroups *groups, Size others)
{
	if (!groups->full && groups->ngroups > 0 &&
		MemoryContextMemAllocated(groups->mcxt, true) + others > groups->limit)
		groups->full = true;
}

/* ------------------------------------------------------------------------
 * Hashes and equality
 * ------------------------------------------------------------------------
 */

static inline uint64
mix(uint64 h)
{
	h ^= h >> 32;
	h *= UINT64CONST(0xD6E8FEB86659FD93);
	h ^= h >> 32;
	h *= UINT64CONST(0xD6E8FEB86659FD93);
	h ^= h >> 32;
	return h;
}

static inline uint64
hash_bytes_fast(const char *p, Size n)
{
	uint64		h = UINT64CONST(0x9E3779B97F4A7C15) ^ n;

	while (n >= 8)
	{
		uint64		word;

		memcpy(&word, p, 8);
		h = mix(h ^ word);
		p += 8;
		n -= 8;
	}
	if (n > 0)
	{
		uint64		word = 0;

		memcpy(&word, p, n);
		h = mix(h ^ word);
	}
	return h;
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

/* Bytes of a varlena, detoasted in CurrentMemoryContext if need be */
static inline const char *
get_bytes(const OmenKey *key, Datum value, Size *length)
{
	struct varlena *p = (struct varlena *) DatumGetPointer(value);
	const char *data;

	if (unlikely(VARATT_IS_EXTENDED(p) && !VARATT_IS_SHORT(p)))
		p = PG_DETOAST_DATUM_PACKED(value);
	data = VARDATA_ANY(p);
	*length = VARSIZE_ANY_EXHDR(p);
	if (key->kind == OMEN_KEY_BPCHAR)
		*length = bpchartruelen((char *) data, *length);
	return data;
}

static void
hash_column(const OmenKey *key, const OmenVec *vec, const uint16 *sel,
			int nsel, uint64 *hashes, bool first)
{
	for (int k = 0; k < nsel; k++)
	{
		int			i = sel ? sel[k] : k;
		uint64		h;

		if (vec->isnull && vec->isnull[i])
			h = UINT64CONST(0x2545F4914F6CDD1D);
		else
		{
			Datum		value = vec->values[i];
			const char *bytes;
			Size		length;

			switch (key->kind)
			{
				case OMEN_KEY_INT:
					h = mix((uint64) value);
					break;
				case OMEN_KEY_FLOAT:
					h = mix((uint64) float_bits(DatumGetFloat8(value)));
					break;
				case OMEN_KEY_FLOAT4:
					h = mix((uint64) float_bits(DatumGetFloat4(value)));
					break;
				case OMEN_KEY_BYTES:
				case OMEN_KEY_BPCHAR:
					bytes = get_bytes(key, value, &length);
					h = hash_bytes_fast(bytes, length);
					break;
				case OMEN_KEY_FIXED:
					h = hash_bytes_fast(DatumGetPointer(value), key->typlen);
					break;
				default:
					h = mix(DatumGetUInt32(FunctionCall1Coll((FmgrInfo *) &key->hash,
															 key->collation,
															 value)));
					break;
			}
		}
		hashes[k] = first ? h : mix(hashes[k] ^ h);
	}
}

static bool
values_equal(const OmenKey *key, Datum a, Datum b)
{
	const char *pa;
	const char *pb;
	Size		na;
	Size		nb;

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
			pa = get_bytes(key, a, &na);
			pb = get_bytes(key, b, &nb);
			return na == nb && memcmp(pa, pb, na) == 0;
		case OMEN_KEY_FIXED:
			return memcmp(DatumGetPointer(a), DatumGetPointer(b),
						  key->typlen) == 0;
		default:
			return DatumGetBool(FunctionCall2Coll((FmgrInfo *) &key->equal,
												  key->collation, a, b));
	}
}

static inline bool
group_matches(const OmenGroups *groups, char *group, OmenVec **keys, int i)
{
	const Datum *values = OmenGroupKeys(group);
	const bool *nulls = OmenGroupNulls(groups, group);

	for (int c = 0; c < groups->nkeys; c++)
	{
		bool		isnull = keys[c]->isnull && keys[c]->isnull[i];

		if (isnull != nulls[c])
			return false;
		if (!isnull &&
			!(groups->keys[c].kind == OMEN_KEY_INT ?
			  values[c] == keys[c]->values[i] :
			  values_equal(&groups->keys[c], values[c], keys[c]->values[i])))
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
	OmenGroupSlot *table;

	table = MemoryContextAllocExtended(groups->mcxt,
									   size * sizeof(OmenGroupSlot),
									   MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
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
		pfree(old);
	groups->table = table;
	groups->mask = (uint32) (size - 1);
}

/* Make a group with the keys of row i */
static char *
new_group(OmenGroups *groups, OmenVec **keys, int i)
{
	char	   *group;
	MemoryContext old = MemoryContextSwitchTo(groups->mcxt);

	if (groups->block_left < groups->size)
	{
		Size		size = Max(GROUP_BLOCK_SIZE, groups->size);

		groups->block = (char *) TYPEALIGN(16, palloc0(size + 16));
		groups->block_left = size;
	}
	group = groups->block;
	groups->block += groups->size;
	groups->block_left -= groups->size;

	for (int c = 0; c < groups->nkeys; c++)
	{
		OmenKey    *key = &groups->keys[c];
		bool		isnull = keys[c]->isnull && keys[c]->isnull[i];

		OmenGroupNulls(groups, group)[c] = isnull;
		if (isnull)
			OmenGroupKeys(group)[c] = (Datum) 0;
		else if (key->typlen == -1)
			OmenGroupKeys(group)[c] =
				PointerGetDatum(PG_DETOAST_DATUM_COPY(keys[c]->values[i]));
		else
			OmenGroupKeys(group)[c] = datumCopy(keys[c]->values[i],
												key->typbyval, key->typlen);
	}

	if (groups->ngroups >= groups->maxgroups)
	{
		groups->maxgroups = Max(256, groups->maxgroups * 2);
		groups->groups = groups->groups ?
			repalloc_huge(groups->groups, sizeof(char *) * groups->maxgroups) :
			palloc(sizeof(char *) * groups->maxgroups);
	}
	groups->groups[groups->ngroups++] = group;
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
			group = groups->groups[groups->table[at].index - 1];
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
			groups->dense_base = vec->isnull && vec->isnull[first] ? 0 :
				(int64) vec->values[first] & ~((int64) DENSE_VALUES - 1);
		}
		if (groups->dense)
		{
			for (int k = 0; k < nsel; k++)
			{
				int			i = sel ? sel[k] : k;
				uint64		at = (uint64) vec->values[i] -
					(uint64) groups->dense_base;
				char	   *group;

				if (likely(at < DENSE_VALUES &&
						   !(vec->isnull && vec->isnull[i])))
				{
					group = groups->dense[at];
					if (unlikely(group == NULL))
					{
						hashes[k] = mix((uint64) vec->values[i]);
						group = lookup(groups, keys, i, (uint32) hashes[k]);
						groups->dense[at] = group;
					}
				}
				else
				{
					hashes[k] = vec->isnull && vec->isnull[i] ?
						UINT64CONST(0x2545F4914F6CDD1D) :
						mix((uint64) vec->values[i]);
					group = lookup(groups, keys, i, (uint32) hashes[k]);
				}
				found[k] = group;
			}
			return;
		}
	}

	MemoryContextReset(groups->scratch);
	old = MemoryContextSwitchTo(groups->scratch);
	for (int c = 0; c < groups->nkeys; c++)
		hash_column(&groups->keys[c], keys[c], sel, nsel, hashes, c == 0);
	for (int k = 0; k < nsel; k++)
		found[k] = lookup(groups, keys, sel ? sel[k] : k, (uint32) hashes[k]);
	MemoryContextSwitchTo(old);
}
