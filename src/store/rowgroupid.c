/*-------------------------------------------------------------------------
 *
 * rowgroupid.c
 *	  Row group ids: unique for all time, sorted by age.
 *
 * Laid out as UUID version 7 (RFC 9562): 48 bits of milliseconds since 1970,
 * big-endian, then the version, the variant and 74 random bits.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "store/store.h"

#include <sys/time.h>

/*
 * Make a new id.  Errors out only if the system has no randomness to give.
 */
void
omen_id_generate(OmenRowGroupId *id)
{
	struct timeval tv;
	uint64		ms;

	gettimeofday(&tv, NULL);
	ms = (uint64) tv.tv_sec * 1000 + tv.tv_usec / 1000;

	if (!pg_strong_random(id->bytes, sizeof(id->bytes)))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not generate random values")));
	for (int i = 0; i < 6; i++)
		id->bytes[i] = (uint8) (ms >> (8 * (5 - i)));
	id->bytes[6] = (id->bytes[6] & 0x0F) | 0x70;
	id->bytes[8] = (id->bytes[8] & 0x3F) | 0x80;
}

/*
 * Write an id as OMEN_ID_STRLEN hexadecimal digits and a zero byte.
 */
void
omen_id_format(const OmenRowGroupId *id, char *buf)
{
	static const char digits[] = "0123456789abcdef";

	for (int i = 0; i < (int) sizeof(id->bytes); i++)
	{
		buf[2 * i] = digits[id->bytes[i] >> 4];
		buf[2 * i + 1] = digits[id->bytes[i] & 0x0F];
	}
	buf[OMEN_ID_STRLEN] = '\0';
}

static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

/*
 * Read OMEN_ID_STRLEN lower-case hexadecimal digits; what follows them is the
 * caller's business.  False if str does not begin so.
 */
bool
omen_id_parse(const char *str, OmenRowGroupId *id)
{
	for (int i = 0; i < (int) sizeof(id->bytes); i++)
	{
		int			hi = hex_value(str[2 * i]);
		int			lo = hi < 0 ? -1 : hex_value(str[2 * i + 1]);

		if (lo < 0)
			return false;
		id->bytes[i] = (uint8) (hi << 4 | lo);
	}
	return true;
}
