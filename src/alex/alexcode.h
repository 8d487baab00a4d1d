/*-------------------------------------------------------------------------
 *
 * alexcode.h
 *	  The code that an index writes the texts of its first column in.
 *
 * A code (decision 0029) takes a text apart into strings and writes a row of
 * bits for each.  What strings there are depends on the byte before: each
 * context has a tree of them, in which the longest that fits is taken.  A zero
 * stands for the end of the text, and may be the last byte of a string.  Where a
 * node of the tree has children, which of the gaps between these the next byte
 * falls into is told as well, so the symbols of a context are disjoint
 * ranges of what may follow, in order, and so are their bits.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#ifndef ALEXCODE_H
#define ALEXCODE_H

#include "alex/alex.h"

/* Bits of a symbol, bytes of a string, strings of a code */
#define CODE_MAX_BITS		15
#define CODE_MAX_STRING		15
#define CODE_MAX_NODES		4000

/* In the stored form: bits of a symbol's length, of a number of children */
#define CODE_LENGTH_BITS	4
#define CODE_COUNT_BITS		9

/* Symbols that the images can hold: each has one bit at least */
#define CODE_MAX_SYMBOLS	112

/*
 * What a symbol stands for.  An escape is what a context has no string for; the
 * byte follows it in 8 bits.
 */
typedef struct CodeSymbol
{
	uint16		start;			/* its bits, left-aligned in CODE_MAX_BITS */
	uint16		string;			/* number of its string */
	uint8		bits;
	uint8		len;			/* of the string, without the end */
	uint8		context;		/* of what follows */
	uint8		kind;
} CodeSymbol;

#define CODE_STRING			0
#define CODE_END			1	/* the text ends with this string */
#define CODE_ESCAPE			2

/* First bits that find symbols */
#define CODE_JUMP_BITS		7

typedef struct CodeContext
{
	const CodeSymbol *symbols;	/* one more, behind all, starts at the end */
	uint16		jump[1 << CODE_JUMP_BITS];
} CodeContext;

/*
 * Writing is an automaton: state and class of the next byte give bits to write
 * and the next state.  A step is, from the lowest bit: the next state (the place
 * of its row), the number of bits, whether the byte itself is to follow these,
 * and the bits: those of the string that has ended, and of one that is whole with
 * this byte.
 */
#define STEP_STATE_BITS		20
#define STEP_STATE(step)	((uint32) ((step) & ((1 << STEP_STATE_BITS) - 1)))
#define STEP_NBITS(step)	((int) ((step) >> STEP_STATE_BITS) & 31)
#define STEP_ESCAPE			(UINT64CONST(1) << (STEP_STATE_BITS + 5))
#define STEP_BITS_SHIFT		(STEP_STATE_BITS + 6)

/* What a text's bits were read as, last time: the next often begins alike */
typedef struct CodeRead
{
	uint64		high;
	uint64		low;
	int			left;
	int			n;				/* symbols */
	bool		whole;			/* the last one has the end */
	uint8		bits[CODE_MAX_SYMBOLS]; /* up to the symbol's end */
	uint16		len[CODE_MAX_SYMBOLS];
	uint8		context[CODE_MAX_SYMBOLS];	/* behind it */
	char		text[(CODE_MAX_SYMBOLS + 1) * (CODE_MAX_STRING + 1)];
} CodeRead;

struct AlexCode
{
	AlexStoredCode stored;		/* what it was made of */
	uint8		class[256];		/* that of a zero, the end, is 0 */
	uint8		context_of[256];	/* behind a byte */
	uint64	   *steps;
	CodeContext *contexts;
	char		(*strings)[CODE_MAX_STRING + 1];
	CodeRead	read;
	MemoryContext memory;
	struct AlexCode *next;		/* of those that the backend remembers */
};

/* Rows of bits that are stored: length in bits, and where one is */
typedef struct CodeBits
{
	uint8	   *data;
	int			n;
	int			max;
} CodeBits;

/* Bytes that were read */
static inline int
alex_held(const CodeRead *read)
{
	return read->n > 0 ? read->len[read->n - 1] : 0;
}

extern void alex_encode(const AlexCode *code, const char *p, int len,
						uint64 *high, uint64 *low, int *nbits);
extern const CodeRead *alex_decode(AlexCode *code, uint64 high, uint64 low,
								   int left);
extern AlexCode *alex_parse_code(const AlexStoredCode *stored);
extern AlexCode *alex_keep_code(AlexCode *code);
extern void alex_free_code(AlexCode *code);
extern uint32 alex_code_hash(const AlexStoredCode *stored);
extern bool alex_train_code(const char *const *keys, const int *lens,
							const bool *cut, int nkeys,
							AlexStoredCode *stored);

#endif							/* ALEXCODE_H */
