/*-------------------------------------------------------------------------
 *
 * alexcode.c
 *	  Writing texts in an index's code, and reading them back.
 *
 * The stored form of a code is a row of bits:
 *	  for each byte but zero, whether it has a context of its own
 *	  for the context of all others, and each of these, its tree:
 *		the root's number of children (CODE_COUNT_BITS) and the children
 * Any other node has a bit that says whether it has children, then their number
 * less one in 8 bits and the children, or one symbol's length.  Each child is
 * a byte, which ascends, then, if there are other bytes between it and the one
 * before, the length of the symbol for these, and the node; behind the last one
 * the same symbol may follow.  A zero is the end: the length of its symbol and no
 * more.  Lengths make the bits: those of an
 * alphabetic code, whose symbols follow each other and fill all that there is.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "alex/alexcode.h"

#include "access/xact.h"
#include "common/hashfn.h"
#include "port/pg_bitutils.h"
#include "utils/memutils.h"

/* What a node's next byte leads to: a child, or the symbol of a gap */
typedef struct Target
{
	int16		child;			/* 0: none */
	int16		symbol;			/* number among all */
} Target;

typedef struct ParseNode
{
	int16		row;			/* of targets, or -1 for a leaf */
	int16		symbol;			/* of a leaf */
	uint8		last;			/* byte */
	uint8		depth;
} ParseNode;

typedef struct Parser
{
	AlexCode   *code;
	const AlexStoredCode *stored;
	int			at;				/* bits read */
	int			nnodes;
	int			nrows;
	int			nsymbols;
	int			units;			/* that a row of steps takes */
	int			position;		/* of the context's next symbol */
	int			seen[256];		/* how often bytes are told from others */
	ParseNode  *nodes;
	Target		(*targets)[256];
	CodeSymbol *symbols;
	char		string[CODE_MAX_STRING + 1];	/* to the node at hand */
} Parser;

/*
 * Codes that are in use, the one that was asked for last first; the generation
 * changes when some are forgotten
 */
static AlexCode *remembered = NULL;
static int	nremembered = 0;
uint32		alex_code_generation = 0;

/* So many, of half a megabyte each, may stay beyond the end of a transaction */
#define MAX_REMEMBERED		64

uint32
alex_code_hash(const AlexStoredCode *stored)
{
	return hash_bytes(stored->data, stored->len);
}

#define stored_bits(stored)	(8 * (stored)->len)

/* The next bits of the stored form; -1 if there are no more. */
static int
next_bits(Parser *p, int n)
{
	int			value = 0;

	if (p->at + n > (int) stored_bits(p->stored))
		return -1;
	for (int i = 0; i < n; i++, p->at++)
		value = value << 1 |
			((p->stored->data[p->at / 8] >> (7 - p->at % 8)) & 1);
	return value;
}

/* Read a symbol's length; its number, or -1. */
static int
parse_symbol(Parser *p, int node, int kind)
{
	int			bits = next_bits(p, CODE_LENGTH_BITS);
	CodeSymbol *symbol;

	if (bits <= 0 || bits > CODE_MAX_BITS ||
		p->nsymbols >= 2 * CODE_MAX_NODES)
		return -1;
	/* an alphabetic code's symbols begin where their own bits can */
	if ((p->position & ((1 << (CODE_MAX_BITS - bits)) - 1)) != 0)
		return -1;
	symbol = &p->symbols[p->nsymbols];
	symbol->start = p->position;
	symbol->bits = bits;
	symbol->kind = kind;
	symbol->string = node;
	symbol->len = p->nodes[node].depth - (kind == CODE_END ? 1 : 0);
	symbol->context = p->code->context_of[p->nodes[node].last];
	p->position += 1 << (CODE_MAX_BITS - bits);
	if (p->position > 1 << CODE_MAX_BITS)
		return -1;
	return p->nsymbols++;
}

/* Read a node; its number, or -1. */
static int
parse_node(Parser *p, int depth, uint8 last)
{
	int			number = p->nnodes++;
	ParseNode  *node = &p->nodes[number];
	int			nchildren;
	int			next = 0;		/* byte that has no target yet */
	int			kind = depth == 0 ? CODE_ESCAPE : CODE_STRING;

	if (number >= CODE_MAX_NODES)
		return -1;
	node->row = -1;
	node->last = last;
	node->depth = depth;
	memcpy(p->code->strings[number], p->string, CODE_MAX_STRING + 1);
	if (depth > 0 && last == 0)
		return (node->symbol = parse_symbol(p, number, CODE_END)) < 0 ? -1 : number;
	if (depth == 0)
		nchildren = next_bits(p, CODE_COUNT_BITS);
	else
	{
		nchildren = next_bits(p, 1);
		if (nchildren == 0)
			return (node->symbol = parse_symbol(p, number, CODE_STRING)) < 0 ? -1 : number;
		if (nchildren > 0)
			nchildren = next_bits(p, 8) + 1;
	}
	if (nchildren <= 0 || nchildren > 256 || depth >= CODE_MAX_STRING)
		return -1;
	node->row = p->nrows++;
	for (int i = 0; i <= nchildren; i++)
	{
		int			byte = i < nchildren ? next_bits(p, 8) : 256;
		int			child;

		if (byte < next)
			return -1;
		if (byte > next)
		{
			int			symbol = parse_symbol(p, number, kind);

			if (symbol < 0)
				return -1;
			while (next < byte)
			{
				p->targets[node->row][next].child = 0;
				p->targets[node->row][next++].symbol = symbol;
			}
		}
		if (byte == 256)
			break;
		p->string[depth] = byte;
		child = parse_node(p, depth + 1, byte);
		p->string[depth] = 0;
		if (child < 0)
			return -1;
		p->seen[byte]++;
		p->targets[node->row][byte].child = child;
		next = byte + 1;
	}
	return number;
}

/* Add a symbol to a step. */
static uint32
add_bits(const Parser *p, uint32 step, int number)
{
	const CodeSymbol *symbol = &p->symbols[number];
	uint32		bits = (step >> STEP_BITS_SHIFT) << symbol->bits |
		symbol->start >> (CODE_MAX_BITS - symbol->bits);

	return bits << STEP_BITS_SHIFT | (STEP_NBITS(step) + symbol->bits) |
		(symbol->kind == CODE_ESCAPE ? STEP_ESCAPE : 0);
}

/* What to do at a node when a byte comes; returns the next state. */
static int
set_step(const Parser *p, const int *roots, int number, int byte, uint32 *step)
{
	const Target *target = &p->targets[p->nodes[number].row][byte];

	*step = 0;
	if (target->child == 0 && p->nodes[number].depth > 0)
	{
		/* the string has ended, the byte is the first of the next one */
		*step = add_bits(p, *step, target->symbol);
		number = roots[p->code->context_of[p->nodes[number].last]];
		target = &p->targets[p->nodes[number].row][byte];
	}
	if (target->child != 0)
	{
		const ParseNode *child = &p->nodes[target->child];

		if (child->row >= 0)
			return child->row * p->units;
		*step = add_bits(p, *step, child->symbol);
	}
	else
		*step = add_bits(p, *step, target->symbol);
	return p->nodes[roots[p->code->context_of[byte]]].row * p->units;
}

/* Make the automaton that writes; false if it has too many states. */
static bool
make_steps(Parser *p, const int *roots)
{
	AlexCode   *code = p->code;
	uint8		of[256];		/* a byte of each class */
	uint8		class[256];
	uint16		rank[256];
	int			nclasses = 1;
	Size		size;

	/*
	 * Neighbours that are nowhere told apart are one class.  Those that occur in many
	 * strings come first, so that rows have next to each other what is used.
	 */
	of[0] = 0;
	class[0] = 0;
	for (int b = 1; b < 256; b++)
	{
		if (b == 1 || p->seen[b] > 0 || p->seen[b - 1] > 0)
			of[nclasses++] = b;
		class[b] = nclasses - 1;
	}
	for (int c = 0; c < nclasses; c++)
	{
		rank[c] = 0;
		for (int d = 0; d < nclasses; d++)
		{
			if (p->seen[of[d]] > p->seen[of[c]] ||
				(p->seen[of[d]] == p->seen[of[c]] && d < c))
				rank[c]++;
		}
	}
	for (int b = 0; b < 256; b++)
		code->cell[b] = rank[class[b]] * CODE_CELL;

	p->units = TYPEALIGN(CODE_ROW_UNIT, nclasses * CODE_CELL) / CODE_ROW_UNIT;
	if (p->nrows * p->units > PG_UINT16_MAX)
		return false;
	/* a cell is read with the two bytes behind it */
	size = (Size) p->nrows * p->units * CODE_ROW_UNIT + sizeof(uint64);
	code->cells = (char *)
		CACHELINEALIGN(MemoryContextAllocZero(code->memory,
											  size + PG_CACHE_LINE_SIZE));
	for (int n = 0; n < p->nnodes; n++)
	{
		char	   *row;

		if (p->nodes[n].row < 0)
			continue;
		row = code->cells +
			(Size) p->nodes[n].row * p->units * CODE_ROW_UNIT;
		for (int c = 0; c < nclasses; c++)
		{
			uint32		step;
			uint16		state = set_step(p, roots, n, of[c], &step);
			char	   *cell = row + rank[c] * CODE_CELL;

			memcpy(cell, &state, sizeof(state));
			memcpy(cell + sizeof(state), &step, sizeof(step));
		}
	}
	return true;
}

/* Fill in a code that has its stored form; false if that cannot be one. */
static bool
parse(Parser *p)
{
	AlexCode   *code = p->code;
	int			roots[256];
	int			first[256 + 1];
	int			ncontexts = 1;

	for (int b = 1; b < 256; b++)
	{
		int			own = next_bits(p, 1);

		if (own < 0)
			return false;
		if (own)
		{
			p->seen[b]++;
			code->context_of[b] = ncontexts++;
		}
	}
	for (int c = 0; c < ncontexts; c++)
	{
		first[c] = p->nsymbols;
		p->position = 0;
		roots[c] = parse_node(p, 0, 0);
		if (roots[c] < 0 || p->position != 1 << CODE_MAX_BITS)
			return false;
		/* behind the last one, which ends a search */
		p->symbols[p->nsymbols++].start = 1 << CODE_MAX_BITS;
	}
	if (p->at <= (int) stored_bits(p->stored) - 8)
		return false;

	code->contexts = MemoryContextAlloc(code->memory,
										ncontexts * sizeof(CodeContext));
	for (int c = 0; c < ncontexts; c++)
	{
		CodeContext *context = &code->contexts[c];
		int			s = 0;

		context->symbols = p->symbols + first[c];
		for (int i = 0; i < 1 << CODE_JUMP_BITS; i++)
		{
			while (context->symbols[s + 1].start <=
				   i << (CODE_MAX_BITS - CODE_JUMP_BITS))
				s++;
			context->jump[i] = s;
		}
	}
	return make_steps(p, roots);
}

/*
 * Make of the stored form of a code what is needed to use it, in memory of its
 * own; NULL if it is none.  Trusts nothing but the length, which the caller has
 * checked.
 */
AlexCode *
alex_parse_code(const AlexStoredCode *stored)
{
	MemoryContext memory = AllocSetContextCreate(CurrentMemoryContext,
												 "alex code",
												 ALLOCSET_DEFAULT_SIZES);
	MemoryContext scratch = AllocSetContextCreate(CurrentMemoryContext,
												  "alex code scratch",
												  ALLOCSET_DEFAULT_SIZES);
	AlexCode   *code;
	Parser		p;
	bool		good;

	memset(&p, 0, sizeof(p));
	code = MemoryContextAllocZero(memory, sizeof(AlexCode));
	code->memory = memory;
	code->stored = *stored;
	p.code = code;
	p.stored = &code->stored;
	p.nodes = MemoryContextAlloc(scratch, CODE_MAX_NODES * sizeof(ParseNode));
	p.targets = MemoryContextAlloc(scratch, CODE_MAX_NODES * sizeof(Target) * 256);
	p.symbols = MemoryContextAllocZero(memory, (2 * CODE_MAX_NODES + 256) *
									   sizeof(CodeSymbol));
	code->strings = MemoryContextAlloc(memory, CODE_MAX_NODES *
									   (CODE_MAX_STRING + 1));
	good = parse(&p);
	MemoryContextDelete(scratch);
	if (!good)
	{
		MemoryContextDelete(memory);
		return NULL;
	}
	/* nothing is left behind by an error before this */
	MemoryContextSetParent(memory, TopMemoryContext);
	return code;
}

/*
 * At the end of a transaction nobody has a copy of an AlexRel any more: if there are
 * many codes, forget those that were asked for longest ago.  What is in rd_amcache is
 * known to be out of date by the generation, and asks for its code again.
 */
static void
forget_codes(XactEvent event, void *arg)
{
	AlexCode  **last;

	if (nremembered <= MAX_REMEMBERED ||
		(event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT &&
		 event != XACT_EVENT_PREPARE))
		return;
	alex_code_generation++;
	last = &remembered;
	for (int i = 0; i < MAX_REMEMBERED; i++)
		last = &(*last)->next;
	while (*last != NULL)
	{
		AlexCode   *code = *last;

		*last = code->next;
		MemoryContextDelete(code->memory);
	}
	nremembered = MAX_REMEMBERED;
}

void
alex_free_code(AlexCode *code)
{
	MemoryContextDelete(code->memory);
}

/* Remember a code, which alex_parse_code has made, as long as the transaction. */
AlexCode *
alex_keep_code(AlexCode *code)
{
	static bool registered = false;

	if (!registered)
	{
		RegisterXactCallback(forget_codes, NULL);
		registered = true;
	}
	code->next = remembered;
	remembered = code;
	nremembered++;
	return code;
}

/*
 * The code with this stored form, valid as long as the transaction; NULL if it
 * cannot be one.
 */
AlexCode *
alex_find_code(const AlexStoredCode *stored)
{
	AlexCode  **place;
	AlexCode   *code;

	if (stored->len == 0 || stored->len > ALEX_MAX_CODE ||
		stored->hash != alex_code_hash(stored))
		return NULL;
	for (place = &remembered; *place != NULL; place = &code->next)
	{
		code = *place;
		if (code->stored.hash == stored->hash &&
			code->stored.len == stored->len &&
			memcmp(code->stored.data, stored->data, stored->len) == 0)
		{
			*place = code->next;
			code->next = remembered;
			remembered = code;
			return code;
		}
	}
	code = alex_parse_code(stored);
	return code != NULL ? alex_keep_code(code) : NULL;
}

const AlexStoredCode *
alex_stored_code(const AlexCode *code)
{
	return &code->stored;
}

/*
 * Write a text, as far as the first 128 bits: high and low have them from the
 * top.  If there are fewer, the whole text and its end are in these.
 */
void
alex_encode(AlexCode *code, const char *p, int len, uint64 *high,
			uint64 *low, int *nbits)
{
	CodeWritten *written = &code->written;
	Size		state = 0;		/* place of its row */
	uint64		top = 0;		/* n bits, at the bottom of both */
	uint64		bottom = 0;
	int			n = 0;

	if (len == written->len && written->nbits > 0 &&
		memcmp(p, written->text, len) == 0)
	{
		*high = written->high;
		*low = written->low;
		*nbits = written->nbits;
		return;
	}
	for (int i = 0; i <= len; i++)
	{
		unsigned char byte = i < len ? (unsigned char) p[i] : 0;
		const char *cell = code->cells + state + code->cell[byte];
		uint16		next;
		uint32		step;
		uint64		bits;
		int			more;

#ifdef WORDS_BIGENDIAN
		memcpy(&next, cell, sizeof(next));
		memcpy(&step, cell + sizeof(next), sizeof(step));
#else
		/* at once, since one is waited for */
		memcpy(&bits, cell, sizeof(bits));
		next = (uint16) bits;
		step = (uint32) (bits >> 16);
#endif
		bits = step >> STEP_BITS_SHIFT;
		more = STEP_NBITS(step);
		state = (Size) next * CODE_ROW_UNIT;
		if (unlikely((step & STEP_ESCAPE) != 0))
		{
			bits = bits << 8 | byte;
			more += 8;
		}
		if (unlikely(n + more >= 128))
		{
			bits >>= n + more - 128;
			more = 128 - n;
		}
		top = top << more | bottom >> 1 >> (63 - more);
		bottom = bottom << more | bits;
		n += more;
		if (unlikely(n == 128))
			break;
	}
	*nbits = n;
	/* to the top */
	n = 128 - n;
	if (n >= 64)
	{
		top = bottom;
		bottom = 0;
		n -= 64;
	}
	*high = top << n | bottom >> 1 >> (63 - n);
	*low = bottom << n;
	if (len <= CODE_REMEMBER)
	{
		written->high = *high;
		written->low = *low;
		written->nbits = *nbits;
		written->len = len;
		memcpy(written->text, p, len);
	}
}

/* Are the first nbits the same? */
static inline bool
begin_alike(const CodeWritten *written, uint64 high, uint64 low, int nbits)
{
	high ^= written->high;
	low ^= written->low;
	return nbits <= 64 ? high >> (64 - nbits) == 0 :
		high == 0 && low >> (128 - nbits) == 0;
}

/*
 * Read the text whose bits these are, of which left (at most CODE_MAX_SYMBOLS)
 * are there.  Whatever they are, some text comes out; it is whole if its end was
 * found.  known is the number of bytes that there are of a text that is not whole,
 * if the caller knows that, or -1.  The result is good until the next call of this or
 * alex_encode.
 */
CodeText
alex_decode(AlexCode *code, uint64 high, uint64 low, int left, int known)
{
	const CodeWritten *written = &code->written;
	CodeText	result;
	CodeRead   *r = &code->read;
	uint64		differ = high ^ r->high;
	int			common;
	int			n;
	int			at = 0;
	int			len = 0;
	int			context = 0;

	if (written->nbits > 0 &&
		(known >= 0 ? written->nbits > left && known <= written->len :
		 written->nbits <= left) &&
		begin_alike(written, high, low, Min(written->nbits, left)))
	{
		result.p = written->text;
		result.len = known >= 0 ? known : written->len;
		result.nbits = Min(written->nbits, left);
		result.whole = known < 0;
		return result;
	}
	if (differ == 0)
	{
		differ = low ^ r->low;
		common = differ == 0 ? 128 : 127 - pg_leftmost_one_pos64(differ);
	}
	else
		common = 63 - pg_leftmost_one_pos64(differ);
	/* symbols that are wholly in the common bits are the same */
	n = r->left == left ? r->n : 0;
	while (n > 0 && r->bits[n - 1] > common)
		n--;
	r->high = high;
	r->low = low;
	r->left = left;
	r->whole = r->whole && n > 0 && n == r->n;
	if (n > 0)
	{
		at = r->bits[n - 1];
		len = r->len[n - 1];
		context = r->context[n - 1];
		if (at >= 64)
		{
			high = low;
			low = 0;
		}
		if (at % 64 > 0)
		{
			high = high << at % 64 | low >> (64 - at % 64);
			low <<= at % 64;
		}
	}
	while (at < left && n < CODE_MAX_SYMBOLS && !r->whole)
	{
		const CodeContext *from = &code->contexts[context];
		int			first = high >> (64 - CODE_MAX_BITS);
		const CodeSymbol *s = from->symbols +
			from->jump[first >> (CODE_MAX_BITS - CODE_JUMP_BITS)];
		int			bits;

		while (s[1].start <= first)
			s++;
		bits = s->bits;
		if (unlikely(s->kind == CODE_ESCAPE))
		{
			unsigned char byte = high << bits >> 56;

			bits += 8;
			if (at + bits > left)
				break;
			context = code->context_of[byte];
			r->whole = byte == 0;
			if (byte != 0)
				r->text[len++] = byte;
		}
		else
		{
			if (at + bits > left)
				break;
			memcpy(r->text + len, code->strings[s->string],
				   CODE_MAX_STRING + 1);
			len += s->len;
			context = s->context;
			r->whole = s->kind == CODE_END;
		}
		at += bits;
		high = high << bits | low >> (64 - bits);
		low <<= bits;
		r->bits[n] = at;
		r->len[n] = len;
		r->context[n++] = context;
	}
	r->n = n;
	result.p = r->text;
	result.len = len;
	result.nbits = at;
	result.whole = r->whole;
	return result;
}
