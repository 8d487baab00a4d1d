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
#define CODE_MAX_BITS		13
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
#define CODE_JUMP_BITS		9

typedef struct CodeContext
{
	const CodeSymbol *symbols;	/* one more, behind all, starts at the end */
	uint16		jump[1 << CODE_JUMP_BITS];
} CodeContext;

/*
 * Writing is an automaton: state and class of the next byte give the next state and
 * bits to write.  The next state has to be waited for, so what a processor's cache can
 * hold of the cells decides: they take six bytes, the next state's row (in units of a
 * cache line), and a step: from the lowest bit, the number of bits, whether the byte
 * itself is to follow these, and the bits: those of the string that has ended, and of
 * one that is whole with this byte.
 */
#define CODE_CELL			6
#define CODE_ROW_UNIT		64

#define STEP_NBITS(step)	((int) ((step) & 31))
#define STEP_ESCAPE			32
#define STEP_BITS_SHIFT		6

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

/*
 * The text that was written last, if it is as short as that: an equality has it as
 * both bounds, and then finds it; an insertion makes images and an entry of it.
 */
#define CODE_REMEMBER		96

typedef struct CodeWritten
{
	uint64		high;
	uint64		low;
	int			nbits;			/* 0: none */
	int			len;
	char		text[CODE_REMEMBER];
} CodeWritten;

/* A text that was read, as far as it was there */
typedef struct CodeText
{
	const char *p;
	int			len;
	int			nbits;
	bool		whole;			/* with its end */
} CodeText;

struct AlexCode
{
	AlexStoredCode stored;		/* what it was made of */
	uint16		cell[256];		/* of a byte in each row */
	uint8		context_of[256];	/* behind a byte */
	char	   *cells;
	CodeContext *contexts;
	char		(*strings)[CODE_MAX_STRING + 1];
	CodeRead	read;
	CodeWritten written;
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

extern void alex_encode(AlexCode *code, const char *p, int len,
						uint64 *high, uint64 *low, int *nbits);
extern CodeText alex_decode(AlexCode *code, uint64 high, uint64 low, int left,
							int known);
extern AlexCode *alex_parse_code(const AlexStoredCode *stored);
extern AlexCode *alex_keep_code(AlexCode *code);
extern void alex_free_code(AlexCode *code);
extern uint32 alex_code_hash(const AlexStoredCode *stored);
extern bool alex_train_code(const char *const *keys, const int *lens,
							const bool *cut, int nkeys,
							AlexStoredCode *stored);

#endif							/* ALEXCODE_H */
