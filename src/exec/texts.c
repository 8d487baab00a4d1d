/*-------------------------------------------------------------------------
 *
 * texts.c
 *	  Texts on vectors: equality, and LIKE with patterns that bytes decide.
 *
 * Equality of texts is equality of bytes with every deterministic collation.  A
 * pattern that has no wildcard but % is a sequence of byte strings; in UTF-8 and
 * in encodings of one byte a character there is no place where one of them
 * could match but at the beginning of a character.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "exec/expr.h"

#include "access/detoast.h"
#include "catalog/pg_collation.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "port/pg_bitutils.h"
#include "simd.h"

#ifdef OMEN_AVX2
#include <immintrin.h>
#elif defined(__SSE2__)
#include <emmintrin.h>
#endif

typedef struct Piece
{
	const char *data;
	int			length;
	int64		nfound;			/* texts in which it has been found */
} Piece;

/* A shorter piece of a pattern is not looked for in many texts at once */
#define SHARED_PIECE_MIN	2

/* ... nor is one if fewer than a row in so many is wanted */
#define SHARED_SHARE		4

/* Of so many pieces each is on trial for a vector */
#define MAX_TRIALS			8

/* What the constant argument is, for the scan at hand */
typedef struct TextState
{
	bool		negate;
	bool		is_like;
	uint64		scan_number;
	bool		usable;			/* else the function itself is called */
	Piece		whole;			/* not LIKE, or a pattern without wildcards */
	bool		has_wildcard;
	bool		fixed_start;	/* the first piece must be at the start */
	bool		fixed_end;
	int			npieces;
	Piece	   *pieces;
	int			ntrials;		/* pieces that have been on trial */
	Piece	   *rarest;			/* to look for in many texts at once, or NULL */
	struct varlena *detoasted;	/* a copy of the constant, or NULL */
} TextState;

/* The bytes of a text */
static inline const char *
get_text(Datum datum, int *length)
{
	struct varlena *p = (struct varlena *) DatumGetPointer(datum);

	if (unlikely(omen_is_toasted(p)))
		p = PG_DETOAST_DATUM_PACKED(datum);
	*length = VARSIZE_ANY_EXHDR(p);
	return VARDATA_ANY(p);
}

/* Does the value, if it is not null, have to be detoasted? */
#define IS_TOASTED(d) omen_is_toasted(DatumGetPointer(d))

/* Take a LIKE pattern apart; false if bytes do not decide */
static bool
parse_pattern(TextState *state, MemoryContext mcxt)
{
	const char *p = state->whole.data;
	const char *end = p + state->whole.length;
	const char *start = p;

	state->has_wildcard = false;
	state->npieces = 0;
	state->ntrials = 0;
	state->rarest = NULL;
	if (memchr(p, '_', end - p) || memchr(p, '\\', end - p) ||
		(GetDatabaseEncoding() != PG_UTF8 &&
		 pg_database_encoding_max_length() > 1))
		return false;
	if (memchr(p, '%', end - p) == NULL)
		return true;

	state->has_wildcard = true;
	state->fixed_start = *p != '%';
	state->fixed_end = end[-1] != '%';
	state->pieces = MemoryContextAlloc(mcxt, sizeof(Piece) * (end - p + 1));
	for (; p <= end; p++)
		if (p == end || *p == '%')
		{
			if (p > start)
			{
				state->pieces[state->npieces].data = start;
				state->pieces[state->npieces].nfound = 0;
				state->pieces[state->npieces++].length = p - start;
			}
			start = p + 1;
		}
	return true;
}

/* The constant, once a scan.  False if it is null or of no use here. */
static bool
get_state(OmenExpr *expr, OmenProgram *program)
{
	TextState  *state = (TextState *) expr->extra;
	bool		isnull;
	Datum		datum;
	MemoryContext old;

	if (state->scan_number == program->scan_number)
		return state->usable;
	state->usable = false;
	datum = omen_expr_constant(expr->args[1], program, &isnull);
	if (state->detoasted)
		pfree(state->detoasted);
	state->detoasted = NULL;
	if (state->pieces)
		pfree(state->pieces);
	state->pieces = NULL;
	if (!isnull)
	{
		old = MemoryContextSwitchTo(program->mcxt);
		state->detoasted = PG_DETOAST_DATUM_PACKED(datum);
		MemoryContextSwitchTo(old);
		state->whole.data = VARDATA_ANY(state->detoasted);
		state->whole.length = VARSIZE_ANY_EXHDR(state->detoasted);
		if (state->detoasted == (struct varlena *) DatumGetPointer(datum))
			state->detoasted = NULL;
		state->usable = !state->is_like ||
			parse_pattern(state, program->mcxt);
	}
	state->scan_number = program->scan_number;
	return state->usable;
}

static inline bool
piece_is_at(const Piece *piece, const char *data)
{
	return memcmp(piece->data, data, piece->length) == 0;
}

/*
 * Where is the piece in length bytes of data?  NULL: nowhere.  memmem() prepares a
 * table in each call, which takes longer than looking through a short text does.
 */
static inline const char *
find_piece(const Piece *piece, const char *data, int length)
{
	int			last = piece->length - 1;
	int			places = length - last;
	int			i = 0;

#ifdef __SSE2__
	/* many places at a time: first and last byte decide about most */
	__m128i		first_bytes = _mm_set1_epi8(piece->data[0]);
	__m128i		last_bytes = _mm_set1_epi8(piece->data[last]);
	int			width = places >= 16 ? 16 : 8;

	for (; places >= width && i < places; i += width)
	{
		__m128i		a;
		__m128i		b;
		uint32		hits;

		/* the last of them may have been looked at in part */
		i = Min(i, places - width);
		if (width == 16)
		{
			a = _mm_loadu_si128((const __m128i *) (data + i));
			b = _mm_loadu_si128((const __m128i *) (data + i + last));
		}
		else
		{
			a = _mm_loadl_epi64((const __m128i *) (data + i));
			b = _mm_loadl_epi64((const __m128i *) (data + i + last));
		}
		hits = _mm_movemask_epi8(_mm_and_si128(_mm_cmpeq_epi8(a, first_bytes),
											   _mm_cmpeq_epi8(b, last_bytes)));
		/* (the upper half of a short one is zeros) */
		hits &= (1U << width) - 1;
		while (hits != 0)
		{
			const char *at = data + i + pg_rightmost_one_pos32(hits);

			if (piece_is_at(piece, at))
				return at;
			hits &= hits - 1;
		}
	}
#endif
	for (; i < places; i++)
		if (data[i] == piece->data[0] && data[i + last] == piece->data[last] &&
			piece_is_at(piece, data + i))
			return data + i;
	return NULL;
}

#ifdef OMEN_AVX2
/* find_piece(), of 32 places at a time and at least as many */
OMEN_TARGET_AVX2 static const char *
find_far_avx2(const Piece *piece, const char *data, Size places)
{
	int			last = piece->length - 1;
	__m256i		first_bytes = _mm256_set1_epi8(piece->data[0]);
	__m256i		last_bytes = _mm256_set1_epi8(piece->data[last]);

	for (Size i = 0; i < places; i += 32)
	{
		__m256i		a;
		__m256i		b;
		uint32		hits;

		/* the last of them may have been looked at in part */
		i = Min(i, places - 32);
		a = _mm256_loadu_si256((const __m256i *) (data + i));
		b = _mm256_loadu_si256((const __m256i *) (data + i + last));
		hits = (uint32) _mm256_movemask_epi8(_mm256_and_si256(_mm256_cmpeq_epi8(a, first_bytes),
															  _mm256_cmpeq_epi8(b, last_bytes)));
		while (hits != 0)
		{
			const char *at = data + i + pg_rightmost_one_pos32(hits);

			if (piece_is_at(piece, at))
				return at;
			hits &= hits - 1;
		}
	}
	return NULL;
}
#endif

/* The same in many texts, one behind another */
static inline const char *
find_far(const Piece *piece, const char *data, const char *end)
{
	if (end - data < piece->length)
		return NULL;
#ifdef OMEN_AVX2
	{
		Size		places = end - data - (piece->length - 1);

		if (places >= 32 && omen_has_avx2())
			return find_far_avx2(piece, data, places);
	}
#endif
	return find_piece(piece, data, (int) (end - data));
}

static inline bool
matches(const TextState *state, const char *data, int length)
{
	const char *end = data + length;
	int			first = 0;
	int			last = state->npieces;

	if (!state->has_wildcard)
		return length == state->whole.length &&
			piece_is_at(&state->whole, data);

	if (state->fixed_start)
	{
		const Piece *piece = &state->pieces[first++];

		if (length < piece->length || !piece_is_at(piece, data))
			return false;
		data += piece->length;
	}
	if (state->fixed_end)
	{
		const Piece *piece = &state->pieces[--last];

		if (end - data < piece->length ||
			!piece_is_at(piece, end - piece->length))
			return false;
		end -= piece->length;
	}
	for (; first < last; first++)
	{
		const Piece *piece = &state->pieces[first];
		const char *at = find_piece(piece, data, end - data);

		if (at == NULL)
			return false;
		data = at + piece->length;
	}
	return true;
}

/*
 * The piece of a LIKE pattern that is to be looked for in all texts of a vector at
 * once, NULL if none is.  Which is the rarest one nobody knows: the first vectors
 * are looked through for one after the other.
 */
static Piece *
shared_piece(TextState *state)
{
	if (!state->is_like || !state->has_wildcard)
		return NULL;
	for (; state->ntrials < Min(state->npieces, MAX_TRIALS); state->ntrials++)
	{
		Piece	   *piece = &state->pieces[state->ntrials];

		/* what is wanted at the start is sooner looked at there */
		if (piece->length < SHARED_PIECE_MIN ||
			(state->fixed_start && state->ntrials == 0))
			continue;
		return piece;
	}
	if (state->rarest == NULL)
		for (int i = state->fixed_start ? 1 : 0; i < state->ntrials; i++)
		{
			Piece	   *piece = &state->pieces[i];

			if (piece->length >= SHARED_PIECE_MIN &&
				(state->rarest == NULL ||
				 piece->nfound < state->rarest->nfound))
				state->rarest = piece;
		}
	return state->rarest;
}

/* The row, this one or a later one, in which a place of a vector's data is */
static inline int
row_of_place(const OmenPlainValues *texts, int row, uint64 place)
{
	const uint64 *offsets = texts->offsets;
	int			step = 1;
	int			above;

	while (row + step < texts->nrows && offsets[row + step] <= place)
	{
		row += step;
		step *= 2;
	}
	above = Min(row + step, texts->nrows);
	while (above - row > 1)
	{
		int			middle = (row + above) / 2;

		if (offsets[middle] <= place)
			row = middle;
		else
			above = middle;
	}
	return row;
}

/*
 * Rows of a vector whose text, as it lies in the chunk, (does not) match a pattern.
 * Whatever matches has the piece in it.  That is looked for in all texts at once,
 * from one place where it is to the next, which may be in a header or go from
 * one text into another: the text in which it begins is then looked at for
 * itself.
 */
static int
select_plain(TextState *state, Piece *piece,
			 const OmenPlainValues *texts, const uint16 *sel, int nsel,
			 uint16 *out)
{
	const uint64 *offsets = texts->offsets;
	const char *end = texts->data + offsets[texts->nrows];
	int			row = 0;
	int			n = 0;
	int			k = 0;

	if (state->rarest == NULL)
		state->ntrials++;
	while (k < nsel)
	{
		const char *at = find_far(piece, texts->data + offsets[row], end);

		row = at == NULL ? texts->nrows :
			row_of_place(texts, row, at - texts->data);
		piece->nfound += at != NULL;

		/* no row in front of this one matches */
		if (sel == NULL && !state->negate)
			k = row;
		for (; k < nsel && (sel ? sel[k] : k) < row; k++)
		{
			int			i = sel ? sel[k] : k;

			out[n] = i;
			n += state->negate && (texts->present == NULL ||
								   (texts->present[i >> 3] >> (i & 7)) & 1);
		}
		if (at == NULL)
			break;
		if (k < nsel && (sel ? sel[k] : k) == row)
		{
			int			length;
			const char *data = omen_plain_value(texts, row, &length);

			out[n] = row;
			n += matches(state, data, length) != state->negate;
			k++;
		}
		row++;
	}
	return n;
}

static OmenVec *
eval_constant_text(OmenExpr *expr, OmenProgram *program, OmenBatch *batch,
				   const uint16 *sel, int nsel)
{
	TextState  *state = (TextState *) expr->extra;
	OmenVec    *arg;
	OmenVec    *vec;
	MemoryContext scratch = program->row_econtext->ecxt_per_tuple_memory;
	MemoryContext old;

	if (!get_state(expr, program))
		return expr->slow(expr, program, batch, sel, nsel);
	vec = omen_expr_strict(expr, 0, program, batch, sel, nsel, &arg);
	old = MemoryContextSwitchTo(scratch);
	for (int k = 0; k < nsel; k++)
	{
		int			i = sel ? sel[k] : k;
		const char *data;
		int			length;

		if (vec->isnull[i])
			continue;
		data = get_text(arg->values[i], &length);
		vec->values[i] = BoolGetDatum(matches(state, data, length) !=
									  state->negate);
		if (unlikely(IS_TOASTED(arg->values[i])))
			MemoryContextReset(scratch);
	}
	MemoryContextSwitchTo(old);
	return vec;
}

static int
select_constant_text(OmenExpr *expr, OmenProgram *program, OmenBatch *batch,
					 const uint16 *sel, int nsel, uint16 *out)
{
	TextState  *state = (TextState *) expr->extra;
	OmenPlainValues texts;
	Piece	   *piece;
	OmenVec    *arg;
	MemoryContext scratch = program->row_econtext->ecxt_per_tuple_memory;
	MemoryContext old;
	int			n = 0;

	if (!get_state(expr, program))
		return omen_select_true(expr->slow(expr, program, batch, sel, nsel),
								sel, nsel, out);

	if (expr->args[0]->attno > 0 && nsel * SHARED_SHARE >= batch->nrows &&
		(piece = shared_piece(state)) != NULL &&
		omen_batch_plain_values(batch, expr->args[0]->attno, &texts))
		return select_plain(state, piece, &texts, sel, nsel, out);

	arg = omen_expr_eval(expr->args[0], program, batch, sel, nsel);
	old = MemoryContextSwitchTo(scratch);
	for (int k = 0; k < nsel; k++)
	{
		int			i = sel ? sel[k] : k;
		const char *data;
		int			length;

		if (arg->isnull && arg->isnull[i])
			continue;
		data = get_text(arg->values[i], &length);
		out[n] = i;
		n += matches(state, data, length) != state->negate;
		if (unlikely(IS_TOASTED(arg->values[i])))
			MemoryContextReset(scratch);
	}
	MemoryContextSwitchTo(old);
	return n;
}

/*
 * Of two expressions, as texteq() or textne().
 */
static OmenVec *
eval_texts(OmenExpr *expr, OmenProgram *program, OmenBatch *batch,
		   const uint16 *sel, int nsel)
{
	TextState  *state = (TextState *) expr->extra;
	OmenVec    *va = omen_expr_eval(expr->args[0], program, batch, sel, nsel);
	OmenVec    *vb = omen_expr_eval(expr->args[1], program, batch, sel, nsel);
	OmenVec    *vec = omen_expr_result(expr, program, true);
	MemoryContext scratch = program->row_econtext->ecxt_per_tuple_memory;
	MemoryContext old;

	old = MemoryContextSwitchTo(scratch);
	for (int k = 0; k < nsel; k++)
	{
		int			i = sel ? sel[k] : k;
		bool		equal = false;

		vec->isnull[i] = (va->isnull && va->isnull[i]) ||
			(vb->isnull && vb->isnull[i]);
		if (vec->isnull[i])
			continue;
		/* as texteq(), which looks at the lengths of toasted values first */
		if (toast_raw_datum_size(va->values[i]) ==
			toast_raw_datum_size(vb->values[i]))
		{
			int			na;
			int			nb;
			const char *a = get_text(va->values[i], &na);
			const char *b = get_text(vb->values[i], &nb);

			equal = na == nb && memcmp(a, b, na) == 0;
			if (unlikely(IS_TOASTED(va->values[i]) ||
						 IS_TOASTED(vb->values[i])))
				MemoryContextReset(scratch);
		}
		vec->values[i] = BoolGetDatum(equal != state->negate);
	}
	MemoryContextSwitchTo(old);
	return vec;
}

/* See expr.h */
bool
omen_text_find(OmenExpr *expr, Oid funcid, Oid collation)
{
	TextState  *state;
	bool		is_like = funcid == F_TEXTLIKE || funcid == F_TEXTNLIKE;

	if (!is_like && funcid != F_TEXTEQ && funcid != F_TEXTNE)
		return false;

	/* others, and no collation at all, are the function's to judge */
	if (!OidIsValid(collation) ||
		!(collation == C_COLLATION_OID ||
		  collation == DEFAULT_COLLATION_OID ||
		  get_collation_isdeterministic(collation)))
		return false;
	if (is_like && !expr->args[1]->is_constant)
		return false;

	if (!is_like && expr->args[0]->is_constant)
	{
		OmenExpr   *constant = expr->args[0];

		expr->args[0] = expr->args[1];
		expr->args[1] = constant;
	}
	state = palloc0(sizeof(TextState));
	state->is_like = is_like;
	state->negate = funcid == F_TEXTNE || funcid == F_TEXTNLIKE;
	expr->extra = state;
	if (expr->args[1]->is_constant)
	{
		expr->slow = expr->eval;
		expr->eval = eval_constant_text;
		expr->select = select_constant_text;
	}
	else
		expr->eval = eval_texts;
	return true;
}
