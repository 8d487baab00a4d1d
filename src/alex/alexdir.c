/*-------------------------------------------------------------------------
 *
 * alexdir.c
 *	  The directory: leaves of alex indexes by low key, in shared memory.
 *
 * One directory per index, an in-memory tree of nodes from a pool of fixed
 * size (omendb.alex_directory_size).  A node's keys are searched from the
 * position that a linear model of the node predicts; the error is bounded by
 * the size of the node.
 *
 * Entries are proposals.  They are made by whoever reached a leaf without
 * them, are checked against the page (see alexsearch.c), and nobody has to
 * keep them up to date: a leaf's low key only ever sinks (its left neighbour
 * was unlinked), it splits to the right, and a page that was recycled has
 * another incarnation.
 *
 * Readers take no lock.  Writers hold one lock for all directories and make
 * the directory's sequence number odd while they change it; a reader that
 * finds it odd or changed has a miss.  Everything that a reader takes from a
 * node is bounds-checked before use.  Nothing in here raises errors or waits
 * for anything but the lock, which may be taken with buffers locked.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "alex/alex.h"

#include "common/hashfn.h"
#include "common/pg_prng.h"
#include "port/atomics.h"
#include "prefetch.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"

#define DIR_FANOUT		136
#define DIR_MAX_HEIGHT	6
#define DIR_WAYS		8		/* slots that a given index may use */
#define DIR_NONE		PG_UINT32_MAX

typedef struct DirEntry
{
	uint64		incarnation;
	AlexModel	model;
	BlockNumber block;
	uint32		nslots;
} DirEntry;

typedef struct DirNode
{
	uint16		level;
	uint16		n;
	uint32		next_free;
	double		slope;			/* positions per image unit */
	uint64		image[DIR_FANOUT];
	uint64		rest[DIR_FANOUT];
	union
	{
		DirEntry	entry[DIR_FANOUT];
		uint32		child[DIR_FANOUT];
	}			u;
	int32		recent[DIR_FANOUT]; /* buffer hints, changed without lock */
} DirNode;

typedef struct DirSlot
{
	RelFileLocator node;
	bool		in_use;
	bool		referenced;		/* for eviction; set without lock */
	pg_atomic_uint32 seq;
	uint32		gen;			/* changes whenever the slot is emptied */
	uint64		buildid;
	uint32		root;			/* DIR_NONE: empty */
	uint32		height;			/* of the root, 0: it is a leaf */
	int64		entries;
} DirSlot;

typedef struct DirShared
{
	LWLock	   *lock;
	uint32		nnodes;
	uint32		nslots;
	uint32		free_head;
	uint32		nfree;
	uint32		sweep;
} DirShared;

int			alex_directory_size_kb = 64 * 1024;
bool		alex_directory_stale = false;

static DirShared *dir = NULL;
static DirSlot *slots;
static DirNode *nodes;

/* attempts still to skip after one found the pool exhausted */
static int	skip_enter = 0;

static uint32
pool_nodes(void)
{
	return (uint32) ((Size) alex_directory_size_kb * 1024 / sizeof(DirNode));
}

static uint32
pool_slots(void)
{
	return (Max(pool_nodes(), DIR_WAYS) + DIR_WAYS - 1) / DIR_WAYS * DIR_WAYS;
}

Size
alex_dir_shmem_size(void)
{
	Size		size;

	if (pool_nodes() == 0)
		return 0;
	size = MAXALIGN(sizeof(DirShared));
	size = add_size(size, mul_size(pool_slots(), MAXALIGN(sizeof(DirSlot))));
	size = add_size(size, mul_size(pool_nodes(), sizeof(DirNode)));
	return add_size(size, PG_CACHE_LINE_SIZE);
}

void
alex_dir_shmem_request(void)
{
	StaticAssertStmt(sizeof(DirNode) <= 8192, "directory node too large");
	if (pool_nodes() > 0)
		RequestNamedLWLockTranche("omendb_alex_directory", 1);
}

void
alex_dir_shmem_init(void)
{
	bool		found;
	char	   *p;

	if (pool_nodes() == 0)
		return;
	p = ShmemInitStruct("omendb alex directory", alex_dir_shmem_size(),
						&found);
	dir = (DirShared *) p;
	p += MAXALIGN(sizeof(DirShared));
	slots = (DirSlot *) p;
	p += pool_slots() * MAXALIGN(sizeof(DirSlot));
	nodes = (DirNode *) TYPEALIGN(PG_CACHE_LINE_SIZE, p);
	if (found)
		return;

	memset(dir, 0, sizeof(DirShared));
	dir->lock = &(GetNamedLWLockTranche("omendb_alex_directory"))->lock;
	dir->nnodes = pool_nodes();
	dir->nslots = pool_slots();
	dir->nfree = dir->nnodes;
	memset(slots, 0, dir->nslots * sizeof(DirSlot));
	for (uint32 i = 0; i < dir->nslots; i++)
	{
		pg_atomic_init_u32(&slots[i].seq, 0);
		slots[i].root = DIR_NONE;
	}
	for (uint32 i = 0; i < dir->nnodes; i++)
		nodes[i].next_free = i + 1 < dir->nnodes ? i + 1 : DIR_NONE;
	dir->free_head = 0;
}

/* Bracket every change of a slot's tree; the lock is held. */
static void
change_begin(DirSlot *slot)
{
	pg_atomic_write_u32(&slot->seq, pg_atomic_read_u32(&slot->seq) + 1);
	pg_memory_barrier();
}

static void
change_end(DirSlot *slot)
{
	pg_memory_barrier();
	pg_atomic_write_u32(&slot->seq, pg_atomic_read_u32(&slot->seq) + 1);
}

static void
free_tree(uint32 idx)
{
	DirNode    *node = &nodes[idx];

	if (node->level > 0)
	{
		for (int i = 0; i < node->n; i++)
			free_tree(node->u.child[i]);
	}
	node->n = 0;
	node->next_free = dir->free_head;
	dir->free_head = idx;
	dir->nfree++;
}

/* Empty a slot; whoever remembers it notices by the generation. */
static void
empty_slot(DirSlot *slot)
{
	change_begin(slot);
	if (slot->root != DIR_NONE)
		free_tree(slot->root);
	slot->root = DIR_NONE;
	slot->height = 0;
	slot->entries = 0;
	slot->in_use = false;
	slot->gen++;
	change_end(slot);
}

static uint32
first_way(const RelFileLocator *node)
{
	return hash_bytes((const unsigned char *) node, sizeof(RelFileLocator)) %
		(dir->nslots / DIR_WAYS) * DIR_WAYS;
}

/*
 * Find or make the index's slot.  Caller holds the lock exclusively.
 */
static void
attach_locked(const RelFileLocator *node, AlexRel *info)
{
	uint32		base = first_way(node);
	DirSlot    *slot = NULL;

	for (uint32 i = base; i < base + DIR_WAYS; i++)
	{
		if (slots[i].in_use && RelFileLocatorEquals(slots[i].node, *node))
		{
			slot = &slots[i];
			if (slot->buildid == info->buildid)
			{
				info->dirslot = i;
				info->dirgen = slot->gen;
				return;
			}
			/* left by an index that had the same file name */
			empty_slot(slot);
			break;
		}
	}
	for (uint32 i = base; i < base + DIR_WAYS && slot == NULL; i++)
	{
		if (!slots[i].in_use)
			slot = &slots[i];
	}
	for (int pass = 0; pass < 2 && slot == NULL; pass++)
	{
		for (uint32 i = base; i < base + DIR_WAYS; i++)
		{
			if (!slots[i].referenced)
			{
				slot = &slots[i];
				empty_slot(slot);
				break;
			}
			slots[i].referenced = false;
		}
	}
	if (slot == NULL)
	{
		/* readers have been marking them faster than we look */
		slot = &slots[base + dir->sweep++ % DIR_WAYS];
		empty_slot(slot);
	}
	slot->node = *node;
	slot->buildid = info->buildid;
	slot->in_use = true;
	slot->referenced = true;
	info->dirslot = slot - slots;
	info->dirgen = slot->gen;
}

/*
 * Connect what a backend knows of an index with the index's directory.
 */
void
alex_dir_attach(Relation rel, AlexRel *info)
{
	info->dirslot = -1;
	if (dir == NULL || RelationUsesLocalBuffers(rel))
		return;
	LWLockAcquire(dir->lock, LW_EXCLUSIVE);
	attach_locked(&rel->rd_locator, info);
	LWLockRelease(dir->lock);
}

static inline bool
node_less(const DirNode *node, int i, AlexKey key, bool before)
{
	AlexKey		k;

	k.image = node->image[i];
	k.rest = node->rest[i];
	k.bound = NULL;
	return before ? alex_key_lt(k, key) : !alex_key_lt(key, k);
}

/* Where among a node's n keys, of which there are some, a key should be. */
static inline int
node_predict(const DirNode *node, int n, AlexKey key)
{
	double		d = key.image <= node->image[0] ? 0 :
		node->slope * (double) (key.image - node->image[0]);

	return !(d > 0) ? 0 : d >= n - 1 ? n - 1 : (int) d;
}

/*
 * Position of the last key <= key (before: < key), or -1, searched from hint on.  n
 * has been checked against DIR_FANOUT, and is not 0.
 */
static inline int
node_search_from(const DirNode *node, int n, AlexKey key, bool before, int hint)
{
	int			lo = 0;
	int			hi = n;			/* before lo: less; from hi: not */
	int			step = 1;

	if (node_less(node, hint, key, before))
	{
		lo = hint + 1;
		while (hint + step < n)
		{
			if (!node_less(node, hint + step, key, before))
			{
				hi = hint + step;
				break;
			}
			lo = hint + step + 1;
			step *= 2;
		}
	}
	else
	{
		hi = hint;
		while (hint - step >= 0)
		{
			if (node_less(node, hint - step, key, before))
			{
				lo = hint - step + 1;
				break;
			}
			hi = hint - step;
			step *= 2;
		}
	}
	while (lo < hi)
	{
		int			mid = (lo + hi) / 2;

		if (node_less(node, mid, key, before))
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo - 1;
}

/* The same from the position that is predicted; also of a node without keys. */
static int
node_search(const DirNode *node, int n, AlexKey key, bool before)
{
	if (n == 0)
		return -1;
	return node_search_from(node, n, key, before, node_predict(node, n, key));
}

/* Retrain a node's model: the line through its ends. */
static void
node_train(DirNode *node)
{
	uint64		range = node->n > 0 ?
		node->image[node->n - 1] - node->image[0] : 0;

	node->slope = range > 0 ? (node->n - 1) / (double) range : 0;
}

/*
 * Look up the leaf for a key.  Returns false on a miss, also when a writer is
 * at work.
 */
bool
alex_dir_lookup(Relation rel, AlexRel *info, AlexKey key, bool before,
				AlexDirHit *hit)
{
	DirSlot    *slot;
	uint32		seq;
	uint32		idx;
	uint32		height;

	if (info->dirslot < 0)
		return false;
	slot = &slots[info->dirslot];
	seq = pg_atomic_read_u32(&slot->seq);
	if ((seq & 1) != 0)
		return false;
	pg_read_barrier();
	if (slot->gen != info->dirgen)
		return false;
	idx = *(volatile uint32 *) &slot->root;
	height = *(volatile uint32 *) &slot->height;
	if (height > DIR_MAX_HEIGHT)
		return false;
	for (;;)
	{
		DirNode    *node;
		int			n;
		int			i;

		if (idx >= dir->nnodes)
			return false;
		node = &nodes[idx];
		/* a writer may change it: what is checked is what is used */
		n = *(volatile uint16 *) &node->n;
		if (n > DIR_FANOUT)
			return false;
		i = -1;
		if (n > 0)
		{
			int			hint = node_predict(node, n, key);

			/* what is read last is on its way while the keys are searched */
			if (height == 0)
			{
				omen_prefetch(&node->u.entry[hint]);
				omen_prefetch(&node->u.entry[hint].block);
				omen_prefetch(&node->recent[hint]);
			}
			i = node_search_from(node, n, key, before, hint);
		}
		if (height > 0)
		{
			/* the first child has no left bound */
			idx = *(volatile uint32 *) &node->u.child[Max(i, 0)];
			height--;
			continue;
		}
		if (i < 0)
			return false;
		if (unlikely(alex_directory_stale) && n > 1)
		{
			/* a test wants wrong answers: some other leaf */
			i = pg_prng_uint32(&pg_global_prng_state) % n;
		}
		hit->block = node->u.entry[i].block;
		hit->incarnation = node->u.entry[i].incarnation;
		hit->model = node->u.entry[i].model;
		hit->nslots = node->u.entry[i].nslots;
		hit->recent = node->recent[i];
		hit->hint = (volatile int32 *) &node->recent[i];
		hit->asked_for = false;
		break;
	}
	pg_read_barrier();
	if (pg_atomic_read_u32(&slot->seq) != seq)
		return false;
	if (!slot->referenced)
		slot->referenced = true;
	return true;
}

/* Have at least want nodes free, at the expense of other indexes. */
static bool
make_room(DirSlot *self, uint32 want)
{
	uint32		looked = 0;

	while (dir->nfree < want)
	{
		DirSlot    *victim = &slots[dir->sweep % dir->nslots];

		dir->sweep++;
		if (looked++ > 2 * dir->nslots)
			return false;
		if (victim == self || !victim->in_use || victim->root == DIR_NONE)
			continue;
		if (victim->referenced)
			victim->referenced = false;
		else
			empty_slot(victim);
	}
	return true;
}

static uint32
new_node(int level)
{
	uint32		idx = dir->free_head;
	DirNode    *node = &nodes[idx];

	Assert(dir->nfree > 0);
	dir->free_head = node->next_free;
	dir->nfree--;
	node->level = level;
	node->n = 0;
	node->slope = 0;
	return idx;
}

static void
node_open(DirNode *node, int pos, AlexKey key)
{
	int			n = node->n - pos;

	memmove(&node->image[pos + 1], &node->image[pos], n * sizeof(uint64));
	memmove(&node->rest[pos + 1], &node->rest[pos], n * sizeof(uint64));
	if (node->level > 0)
		memmove(&node->u.child[pos + 1], &node->u.child[pos],
				n * sizeof(uint32));
	else
	{
		memmove(&node->u.entry[pos + 1], &node->u.entry[pos],
				n * sizeof(DirEntry));
		memmove(&node->recent[pos + 1], &node->recent[pos],
				n * sizeof(int32));
	}
	node->image[pos] = key.image;
	node->rest[pos] = key.rest;
	node->n++;
}

/* Split the full child at pos of parent, which has room. */
static void
split_child(DirNode *parent, int pos)
{
	DirNode    *left = &nodes[parent->u.child[pos]];
	uint32		ridx = new_node(left->level);
	DirNode    *right = &nodes[ridx];
	int			keep = left->n / 2;
	int			n = left->n - keep;
	AlexKey		key;

	memcpy(right->image, left->image + keep, n * sizeof(uint64));
	memcpy(right->rest, left->rest + keep, n * sizeof(uint64));
	if (left->level > 0)
		memcpy(right->u.child, left->u.child + keep, n * sizeof(uint32));
	else
	{
		memcpy(right->u.entry, left->u.entry + keep, n * sizeof(DirEntry));
		memcpy(right->recent, left->recent + keep, n * sizeof(int32));
	}
	right->n = n;
	left->n = keep;
	node_train(left);
	node_train(right);
	key.image = right->image[0];
	key.rest = right->rest[0];
	key.bound = NULL;
	node_open(parent, pos + 1, key);
	parent->u.child[pos + 1] = ridx;
	node_train(parent);
}

/*
 * Enter a leaf, which the caller has locked in any mode, or bring its entry
 * up to date.  (Not one whose low key is more than its images.)
 */
void
alex_dir_enter(Relation rel, AlexRel *info, Buffer buf)
{
	Page		page = BufferGetPage(buf);
	AlexKey		key = alex_key_of_raw(alex_header(page)->low);
	DirSlot    *slot;
	DirNode    *node;
	DirEntry   *entry;
	int			i;

	if (dir == NULL || RelationUsesLocalBuffers(rel))
		return;
	/* entries have no tuples: of pages with the same images only the first */
	if (alex_low_tuple(page) != NULL)
		return;
	if (skip_enter > 0)
	{
		skip_enter--;
		return;
	}

	LWLockAcquire(dir->lock, LW_EXCLUSIVE);
	if (info->dirslot < 0 || slots[info->dirslot].gen != info->dirgen)
		attach_locked(&rel->rd_locator, info);
	slot = &slots[info->dirslot];

	/* a split of every level and a new root */
	if (slot->height + 1 >= DIR_MAX_HEIGHT ||
		!make_room(slot, slot->height + 3))
	{
		LWLockRelease(dir->lock);
		skip_enter = 1000;
		return;
	}

	change_begin(slot);
	if (slot->root == DIR_NONE)
	{
		slot->root = new_node(0);
		slot->height = 0;
	}
	if (nodes[slot->root].n == DIR_FANOUT)
	{
		uint32		idx = new_node(slot->height + 1);

		node = &nodes[idx];
		node->image[0] = nodes[slot->root].image[0];
		node->rest[0] = nodes[slot->root].rest[0];
		node->u.child[0] = slot->root;
		node->n = 1;
		split_child(node, 0);
		slot->root = idx;
		slot->height++;
	}
	node = &nodes[slot->root];
	while (node->level > 0)
	{
		i = Max(node_search(node, node->n, key, false), 0);
		if (nodes[node->u.child[i]].n == DIR_FANOUT)
		{
			split_child(node, i);
			i = Max(node_search(node, node->n, key, false), 0);
		}
		node = &nodes[node->u.child[i]];
	}
	i = node_search(node, node->n, key, false);
	if (i < 0 || node->image[i] != key.image || node->rest[i] != key.rest)
	{
		i++;
		node_open(node, i, key);
		node_train(node);
		slot->entries++;
	}
	entry = &node->u.entry[i];
	entry->incarnation = alex_header(page)->incarnation;
	entry->block = BufferGetBlockNumber(buf);
	entry->model = alex_leaf(page)->model;
	entry->nslots = alex_is_grouped(page) ?
		ALEX_DIR_GROUPED | alex_groups(page)->ngroups : alex_leaf(page)->nslots;
	node->recent[i] = buf;
	change_end(slot);
	slot->referenced = true;
	LWLockRelease(dir->lock);
}

/* Take n items from pos on out of a node. */
static void
node_close(DirNode *node, int pos, int n)
{
	int			rest = node->n - pos - n;

	memmove(&node->image[pos], &node->image[pos + n], rest * sizeof(uint64));
	memmove(&node->rest[pos], &node->rest[pos + n], rest * sizeof(uint64));
	if (node->level > 0)
		memmove(&node->u.child[pos], &node->u.child[pos + n],
				rest * sizeof(uint32));
	else
	{
		memmove(&node->u.entry[pos], &node->u.entry[pos + n],
				rest * sizeof(DirEntry));
		memmove(&node->recent[pos], &node->recent[pos + n],
				rest * sizeof(int32));
	}
	node->n -= n;
	node_train(node);
}

/*
 * Remove the entries with low <= key < high from the tree below a node, and
 * nodes that become empty; the node itself may be empty afterwards.
 */
static void
remove_range(DirSlot *slot, DirNode *node, AlexKey low, AlexKey high)
{
	int			first;
	int			end;

	if (node->level == 0)
	{
		first = node_search(node, node->n, low, true) + 1;
		end = node_search(node, node->n, high, true) + 1;
		if (first < end)
		{
			slot->entries -= end - first;
			node_close(node, first, end - first);
		}
		return;
	}
	first = Max(node_search(node, node->n, low, false), 0);
	end = Max(node_search(node, node->n, high, true), 0);
	for (int i = end; i >= first; i--)
	{
		DirNode    *child = &nodes[node->u.child[i]];

		remove_range(slot, child, low, high);
		if (child->n == 0)
		{
			free_tree(node->u.child[i]);
			node_close(node, i, 1);
		}
	}
}

/*
 * Remove what the directory holds for low <= key < high: there is no leaf
 * with such a low key (any more).
 */
void
alex_dir_remove(Relation rel, AlexRel *info, AlexKey low, AlexKey high)
{
	DirSlot    *slot;

	if (info->dirslot < 0 || alex_directory_stale)
		return;
	LWLockAcquire(dir->lock, LW_EXCLUSIVE);
	slot = &slots[info->dirslot];
	if (slot->gen == info->dirgen && slot->root != DIR_NONE)
	{
		change_begin(slot);
		remove_range(slot, &nodes[slot->root], low, high);
		while (slot->height > 0 && nodes[slot->root].n == 1)
		{
			uint32		idx = slot->root;

			slot->root = nodes[idx].u.child[0];
			slot->height--;
			nodes[idx].n = 0;
			free_tree(idx);
		}
		if (nodes[slot->root].n == 0)
		{
			free_tree(slot->root);
			slot->root = DIR_NONE;
			slot->height = 0;
		}
		change_end(slot);
	}
	LWLockRelease(dir->lock);
}

/* Drop the directory of a file name that is about to be built anew. */
void
alex_dir_forget(const RelFileLocator *node)
{
	uint32		base;

	if (dir == NULL)
		return;
	base = first_way(node);
	LWLockAcquire(dir->lock, LW_EXCLUSIVE);
	for (uint32 i = base; i < base + DIR_WAYS; i++)
	{
		if (slots[i].in_use && RelFileLocatorEquals(slots[i].node, *node))
			empty_slot(&slots[i]);
	}
	LWLockRelease(dir->lock);
}

/* Number of leaves in the index's directory now. */
int64
alex_dir_entries(Relation rel, AlexRel *info)
{
	int64		n = 0;

	if (info->dirslot < 0)
		return 0;
	LWLockAcquire(dir->lock, LW_SHARED);
	if (slots[info->dirslot].gen == info->dirgen)
		n = slots[info->dirslot].entries;
	LWLockRelease(dir->lock);
	return n;
}

/*
 * Is there memory for so many leaves more, without emptying the directory of
 * another index?
 */
bool
alex_dir_has_room(int64 leaves)
{
	return dir != NULL &&
		dir->nfree > leaves / (DIR_FANOUT / 2) + DIR_MAX_HEIGHT;
}

/*
 * Has the directory that an index had been connected with been emptied since,
 * for the sake of others?
 */
bool
alex_dir_lost(int dirslot, uint32 dirgen)
{
	return dir != NULL && dirslot >= 0 && slots[dirslot].gen != dirgen;
}
