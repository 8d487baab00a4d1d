/*-------------------------------------------------------------------------
 *
 * partial.c
 *	  States of aggregates as PostgreSQL's combine functions take them.
 *
 * Below a Gather, each process aggregates the row groups that it gets, and emits
 * a state per group and aggregate: the value of the aggregate's transition
 * type, or, where that is internal, what its serialize function would have made of
 * it.  PostgreSQL's Finalize Aggregate does the rest.
 *
 * The states of sum and avg of bigint and numeric are known to numeric.c alone,
 * which serializes them as numbers in network byte order; the format is the
 * same in PostgreSQL 15 to 18.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "exec/aggstate.h"

#include "catalog/pg_type.h"
#include "libpq/pqformat.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/float.h"
#include "utils/numeric.h"

/* Signs in what numeric_send() returns */
#define SIGN_NAN	0xC000
#define SIGN_PINF	0xD000
#define SIGN_NINF	0xF000

/* The number that numeric_send() returns, and its parts */
typedef struct Parts
{
	StringInfoData buf;			/* stands at the digits */
	int			ndigits;
	int			weight;
	int			sign;
	int			dscale;
} Parts;

static void
take_apart(Datum numeric, Parts *parts)
{
	bytea	   *sent = DatumGetByteaPP(DirectFunctionCall1(numeric_send,
														   numeric));

	initStringInfo(&parts->buf);
	appendBinaryStringInfo(&parts->buf, VARDATA_ANY(sent),
						   VARSIZE_ANY_EXHDR(sent));
	parts->ndigits = pq_getmsgint(&parts->buf, 2);
	parts->weight = (int16) pq_getmsgint(&parts->buf, 2);
	parts->sign = pq_getmsgint(&parts->buf, 2);
	parts->dscale = pq_getmsgint(&parts->buf, 2);
}

/* As numericvar_serialize() */
static void
put_parts(StringInfo buf, Parts *parts)
{
	pq_sendint32(buf, parts->ndigits);
	pq_sendint32(buf, parts->weight);
	pq_sendint32(buf, parts->sign);
	pq_sendint32(buf, parts->dscale);
	for (int i = 0; i < parts->ndigits; i++)
		pq_sendint16(buf, pq_getmsgint(&parts->buf, 2));
}

/*
 * omen_partial_int_average: avg(smallint), avg(integer): an array of count and
 * sum.
 */
Datum
omen_partial_int_average(OmenAgg *agg, char *state, bool *isnull)
{
	IntSum	   *sum = (IntSum *) state;
	Datum		values[2] = {Int64GetDatum(sum->count),
		Int64GetDatum(sum->sum + agg->addend * sum->count)};

	*isnull = false;
	return PointerGetDatum(construct_array(values, 2, INT8OID, sizeof(int64),
										   FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

/* omen_partial_int8: sum(bigint), avg(bigint), as int8_avg_serialize() */
Datum
omen_partial_int8(OmenAgg *agg, char *state, bool *isnull)
{
	WideSum    *sum = (WideSum *) state;
	StringInfoData buf;
	Parts		parts;

	*isnull = sum->count == 0;
	if (*isnull)
		return (Datum) 0;
	take_apart(omen_scaled_to_numeric(sum->sum +
									  (int128) agg->addend * sum->count, 0),
			   &parts);
	pq_begintypsend(&buf);
	pq_sendint64(&buf, sum->count);
	put_parts(&buf, &parts);
	return PointerGetDatum(pq_endtypsend(&buf));
}

/* omen_partial_stats: of floats: an array of N, Sx, Sxx */
Datum
omen_partial_stats(OmenAgg *agg, char *state, bool *isnull)
{
	FloatStats *stats = (FloatStats *) state;
	Datum		values[3] = {Float8GetDatum(stats->N),
		Float8GetDatum(stats->Sx), Float8GetDatum(stats->Sxx)};

	if (unlikely(stats->overflow))
		float_overflow_error();
	*isnull = false;
	return PointerGetDatum(construct_array(values, 3, FLOAT8OID,
										   sizeof(float8), FLOAT8PASSBYVAL,
										   TYPALIGN_DOUBLE));
}

/*
 * omen_partial_numeric: sum(numeric), avg(numeric), as numeric_avg_serialize().
 *
 * That counts NaN and infinities by themselves, which are one number here:
 * what they add up to.  Of these, one stands for all; the other numbers no
 * longer matter then.
 */
Datum
omen_partial_numeric(OmenAgg *agg, char *state, bool *isnull)
{
	NumericSum *sum = (NumericSum *) state;
	StringInfoData buf;
	Parts		parts;
	bool		special;

	*isnull = sum->count == 0;
	if (*isnull)
		return (Datum) 0;
	take_apart(omen_numeric_total(sum), &parts);
	special = parts.sign == SIGN_NAN || parts.sign == SIGN_PINF ||
		parts.sign == SIGN_NINF;
	pq_begintypsend(&buf);
	if (special)
	{
		Parts		zero = {.sign = 0};

		pq_sendint64(&buf, 0);
		put_parts(&buf, &zero);
		pq_sendint32(&buf, 0);
		pq_sendint64(&buf, 0);
	}
	else
	{
		pq_sendint64(&buf, sum->count);
		put_parts(&buf, &parts);
		pq_sendint32(&buf, parts.dscale);
		pq_sendint64(&buf, 1);
	}
	pq_sendint64(&buf, parts.sign == SIGN_NAN);
	pq_sendint64(&buf, parts.sign == SIGN_PINF);
	pq_sendint64(&buf, parts.sign == SIGN_NINF);
	return PointerGetDatum(pq_endtypsend(&buf));
}
