/*-------------------------------------------------------------------------
 *
 * alextrain.c
 *	  Making a code (alexcode.h) from a sample of an index's texts.
 *
 * Contexts are the bytes that come often.  The tree of each begins with the
 * bytes that follow, and grows by the strings that would be used most if they
 * were there, a part of them at a time, as long as the code fits into the meta
 * page.  The symbols' bits are those of an optimal alphabetic code, after
 *
 *	  A. M. Garsia, M. L. Wachs: A New Algorithm for Minimum Cost Binary Trees,
 *	  SIAM Journal on Computing 6 (1977).
 *
 * That a text is taken apart into ranges of strings with alphabetic codes is from
 *
 *	  H. Zhang, X. Liu, D. G. Andersen, M. Kaminsky, K. Keeton, A. Pavlo:
 *	  Order-Preserving Key Compression for In-Memory Search Trees, SIGMOD 2020.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "alex/alexcode.h"

#include "miscadmin.h"
#include "utils/memutils.h"

/* Bytes that come less often share a context */
#define MIN_CONTEXT		32

/* Less often than that a string, or what follows a byte, is chance */
#define MIN_STRING		4
#define MIN_FOLLOWS		2

/* The trees grow so many times */
#define NPASSES			6

/* What a node adds to the stored form, at most; a context's root */
#define NODE_BITS		(8 + 1 + 8 + 2 * CODE_LENGTH_BITS)
#define ROOT_BITS		(CODE_COUNT_BITS + CODE_LENGTH_BITS)

/* Counts of strings are told apart up to here */
#define MAX_COUNT		1024

typedef struct Trainer
{
	const char *const *keys;
	const int  *lens;
	const bool *cut;			/* the key goes on behind what is given */
	int			nkeys;
	int			nnodes;
	int			bits;			/* of the stored form, at most */
	int			roots[256];		/* by the byte before; 0, the common one */
	int16		(*child)[256];
	uint16	   *nchildren;
	uint32		(*count)[256];	/* of next bytes that end a string */
	uint32	   *total;			/* of these */
	uint8	   *depth;
	uint8	   *last;

	/* symbols of a context, in order */
	int			nsymbols;
	uint64		weights[2 * CODE_MAX_NODES];
	uint8		lengths[2 * CODE_MAX_NODES];
	CodeBits	out;
} Trainer;

/* A tree of symbols that is built: its weight, and what it is made of */
typedef struct Tree
{
	uint64		weight;
	int			node;			/* a symbol, or behind these an inner node */
} Tree;

static int
add_node(Trainer *t, int parent, uint8 byte)
{
	int			node = t->nnodes++;

	t->depth[node] = t->depth[parent] + 1;
	t->last[node] = byte;
	t->child[parent][byte] = node;
	t->nchildren[parent]++;
	t->bits += NODE_BITS;
	return node;
}

static bool
may_grow(const Trainer *t, int limit)
{
	return t->nnodes < CODE_MAX_NODES - 1 && t->bits + NODE_BITS <= limit;
}

/* Make the contexts, and in each what follows. */
static void
make_contexts(Trainer *t)
{
	uint32		(*pairs)[256] = palloc0(256 * sizeof(uint32) * 256);
	uint32		total[256] = {0};
	uint32		least = MIN_FOLLOWS;
	int			limit = 8 * ALEX_MAX_CODE * 2 / 3;
	int			bits;

	for (int k = 0; k < t->nkeys; k++)
	{
		uint8		before = 0;

		for (int i = 0; i < t->lens[k] + !t->cut[k]; i++)
		{
			uint8		byte = i < t->lens[k] ? t->keys[k][i] : 0;

			pairs[before][byte]++;
			total[byte]++;
			before = byte;
		}
	}

	/* the common one knows all bytes; it is that of a text's beginning, too */
	t->nnodes = 1;
	t->bits = 255 + ROOT_BITS;
	total[0] += t->nkeys;
	for (int b = 0; b < 256; b++)
	{
		if (total[b] > 0)
			(void) add_node(t, 0, b);
	}
	for (;;)
	{
		bits = t->bits;
		for (int c = 1; c < 256; c++)
		{
			if (total[c] < MIN_CONTEXT)
				continue;
			bits += ROOT_BITS + NODE_BITS;
			for (int b = 0; b < 256; b++)
				bits += pairs[c][b] >= least ? NODE_BITS : 0;
		}
		if (bits <= limit)
			break;
		least *= 2;
		/* too many contexts alone */
		if (least > (uint32) t->nkeys)
		{
			pfree(pairs);
			return;
		}
	}
	for (int c = 1; c < 256; c++)
	{
		bool		any = false;

		for (int b = 0; b < 256 && !any; b++)
			any = pairs[c][b] >= least;
		if (total[c] < MIN_CONTEXT || !any)
			continue;
		t->roots[c] = t->nnodes++;
		t->bits += ROOT_BITS;
		for (int b = 0; b < 256; b++)
		{
			if (pairs[c][b] >= least)
				(void) add_node(t, t->roots[c], b);
		}
	}
	pfree(pairs);
}

/* Take a key apart, counting what follows each string. */
static void
count_strings(Trainer *t, const char *p, int len, bool cut)
{
	int			root = 0;
	int			node = 0;
	int			i = 0;

	while (i < len || !cut)
	{
		uint8		byte = i < len ? p[i] : 0;
		int			child = t->child[node][byte];

		if (child != 0)
		{
			node = child;
			i++;
			if (byte != 0)
				continue;
			/* the string with the end */
			t->total[node]++;
			return;
		}
		t->count[node][byte]++;
		t->total[node]++;
		if (node == root)
		{
			/* an escape */
			if (byte == 0)
				return;
			i++;
			root = t->roots[byte];
		}
		else
			root = t->roots[t->last[node]];
		node = root;
	}
}

static void
count_all(Trainer *t)
{
	memset(t->count, 0, t->nnodes * sizeof(uint32) * 256);
	memset(t->total, 0, t->nnodes * sizeof(uint32));
	for (int k = 0; k < t->nkeys; k++)
		count_strings(t, t->keys[k], t->lens[k], t->cut[k]);
}

/* Append the weights of a node's symbols, in order. */
static void
weigh(Trainer *t, int node)
{
	uint64		weight = 0;
	bool		open = false;

	if (t->nchildren[node] == 0)
	{
		t->weights[t->nsymbols++] = t->total[node];
		return;
	}
	for (int b = 0; b < 256; b++)
	{
		int			child = t->child[node][b];

		if (child == 0)
		{
			weight += t->count[node][b];
			open = true;
			continue;
		}
		if (open)
			t->weights[t->nsymbols++] = weight;
		weight = 0;
		open = false;
		weigh(t, child);
	}
	if (open)
		t->weights[t->nsymbols++] = weight;
}

/*
 * The depths of an optimal alphabetic tree: neighbours are joined where the
 * weights are least, and what they become moves to the left until something
 * heavier is in front of it.  Only the symbols' depths are of use, since the join
 * has changed their order.  Returns the greatest.
 */
static int
alphabetic_depths(const uint64 *weights, int n, uint8 *depths)
{
	Tree	   *trees = palloc(n * sizeof(Tree));
	int			(*below)[2] = palloc(n * sizeof(int) * 2);
	int		   *depth = palloc0(n * sizeof(int));
	int			ntrees = n;
	int			ninner = 0;
	int			i = 1;
	int			deepest = 0;

	for (int s = 0; s < n; s++)
	{
		trees[s].weight = weights[s];
		trees[s].node = s;
	}
	while (ntrees > 1)
	{
		Tree		joined;
		int			to;

		while (i + 1 < ntrees && trees[i - 1].weight > trees[i + 1].weight)
			i++;
		joined.weight = trees[i - 1].weight + trees[i].weight;
		joined.node = n + ninner;
		below[ninner][0] = trees[i - 1].node;
		below[ninner++][1] = trees[i].node;
		to = i - 1;
		memmove(trees + i, trees + i + 1, (ntrees - i - 1) * sizeof(Tree));
		ntrees--;
		while (to > 0 && trees[to - 1].weight < joined.weight)
		{
			trees[to] = trees[to - 1];
			to--;
		}
		trees[to] = joined;
		/* in front of that nothing has changed */
		i = Max(1, to - 1);
	}
	/* inner nodes come behind what they are made of */
	for (int k = ninner - 1; k >= 0; k--)
	{
		for (int side = 0; side < 2; side++)
		{
			if (below[k][side] >= n)
				depth[below[k][side] - n] = depth[k] + 1;
			else
			{
				depths[below[k][side]] = Min(depth[k] + 1, PG_UINT8_MAX);
				deepest = Max(deepest, depth[k] + 1);
			}
		}
	}
	pfree(trees);
	pfree(below);
	pfree(depth);
	return deepest;
}

/* The lengths of a context's symbols. */
static void
set_lengths(Trainer *t, int root)
{
	uint64		floor = 1;
	int			deepest;

	t->nsymbols = 0;
	weigh(t, root);
	for (int s = 0; s < t->nsymbols; s++)
		t->weights[s] *= 4;
	/* what has hardly been seen would be too deep */
	do
	{
		for (int s = 0; s < t->nsymbols; s++)
			t->weights[s] = Max(t->weights[s], floor);
		deepest = alphabetic_depths(t->weights, t->nsymbols, t->lengths);
		floor *= 2;
	} while (deepest > CODE_MAX_BITS);
}

static void
write_bits(CodeBits *out, int value, int n)
{
	for (int i = n - 1; i >= 0; i--, out->n++)
	{
		if (out->n < out->max && ((value >> i) & 1) != 0)
			out->data[out->n / 8] |= 0x80 >> (out->n % 8);
	}
}

/* Write a node as parse_node reads it. */
static void
write_node(Trainer *t, int node, const uint8 **lengths)
{
	int			nchildren = t->nchildren[node];
	bool		open = false;

	if (t->depth[node] == 0)
		write_bits(&t->out, nchildren, CODE_COUNT_BITS);
	else if (t->last[node] != 0)
	{
		write_bits(&t->out, nchildren > 0, 1);
		if (nchildren > 0)
			write_bits(&t->out, nchildren - 1, 8);
	}
	if (nchildren == 0)
	{
		write_bits(&t->out, *(*lengths)++, CODE_LENGTH_BITS);
		return;
	}
	for (int b = 0; b < 256; b++)
	{
		int			child = t->child[node][b];

		if (child == 0)
		{
			open = true;
			continue;
		}
		write_bits(&t->out, b, 8);
		if (open)
			write_bits(&t->out, *(*lengths)++, CODE_LENGTH_BITS);
		open = false;
		write_node(t, child, lengths);
	}
	if (open)
		write_bits(&t->out, *(*lengths)++, CODE_LENGTH_BITS);
}

/* Write all contexts; the symbols' lengths are set if that is wanted. */
static void
write_contexts(Trainer *t, bool lengths)
{
	for (int b = 1; b < 256; b++)
		write_bits(&t->out, t->roots[b] != 0, 1);
	for (int b = 0; b < 256; b++)
	{
		const uint8 *length = t->lengths;

		if (b > 0 && t->roots[b] == 0)
			continue;
		CHECK_FOR_INTERRUPTS();
		if (lengths)
			set_lengths(t, t->roots[b]);
		write_node(t, t->roots[b], &length);
	}
}

/* Add the strings that come most often, as many as the limit on bits has room for. */
static void
grow(Trainer *t, int limit)
{
	int			numbers[MAX_COUNT + 1] = {0};
	int			nnodes = t->nnodes;
	int			room = (limit - t->bits) / NODE_BITS;
	int			least = MAX_COUNT;

#define GROWS(n) \
	(t->total[n] >= MIN_STRING && t->depth[n] > 0 && t->last[n] != 0 && \
	 t->depth[n] < CODE_MAX_STRING)
	for (int n = 0; n < nnodes; n++)
	{
		if (!GROWS(n))
			continue;
		for (int b = 0; b < 256; b++)
		{
			if (t->count[n][b] >= MIN_STRING)
				numbers[Min(t->count[n][b], MAX_COUNT)]++;
		}
	}
	while (least > MIN_STRING && numbers[least] < room)
		room -= numbers[least--];
	for (int n = 0; n < nnodes; n++)
	{
		if (!GROWS(n))
			continue;
		for (int b = 0; b < 256; b++)
		{
			if (t->count[n][b] >= (uint32) least && may_grow(t, limit))
				(void) add_node(t, n, b);
		}
	}
}

/*
 * Make a code for texts like these, of which none has a zero; cut says that one
 * goes on behind what is given.  False if it does not fit, or if there is
 * nothing to make it of.
 */
bool
alex_train_code(const char *const *keys, const int *lens, const bool *cut,
				int nkeys, AlexStoredCode *stored)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "alex code training",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	Trainer    *t = palloc0(sizeof(Trainer));
	int			limit = 8 * ALEX_MAX_CODE;

	memset(stored, 0, sizeof(AlexStoredCode));
	t->keys = keys;
	t->lens = lens;
	t->cut = cut;
	t->nkeys = nkeys;
	t->child = palloc0(CODE_MAX_NODES * sizeof(int16) * 256);
	t->count = palloc(CODE_MAX_NODES * sizeof(uint32) * 256);
	t->nchildren = palloc0(CODE_MAX_NODES * sizeof(uint16));
	t->total = palloc(CODE_MAX_NODES * sizeof(uint32));
	t->depth = palloc0(CODE_MAX_NODES);
	t->last = palloc0(CODE_MAX_NODES);
	make_contexts(t);
	for (int pass = 1; pass <= NPASSES; pass++)
	{
		CHECK_FOR_INTERRUPTS();
		count_all(t);
		/* how long it really is by now */
		t->out.n = 0;
		write_contexts(t, false);
		t->bits = t->out.n;
		grow(t, t->bits + (limit - t->bits) / (NPASSES + 1 - pass));
	}
	count_all(t);

	t->out.data = stored->data;
	t->out.max = limit;
	t->out.n = 0;
	write_contexts(t, true);
	if (t->out.n <= limit)
	{
		stored->len = (t->out.n + 7) / 8;
		stored->hash = alex_code_hash(stored);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return stored->len > 0;
}
