/*-------------------------------------------------------------------------
 *
 * protocol.h
 *	  What the worker "omendb store" and the program omendb_rocksdb say to each
 *	  other.
 *
 * Both run on one machine with one byte order, but may come from different
 * installations: the library stays in memory when the program is replaced.
 * So the first request carries the version, and both sides check every length.
 *
 * A frame is a header and `length` bytes.  The worker asks, one request at a
 * time; the program answers each with any number of frames of status MORE and
 * one of status DONE or ERROR, with the request's number.  The end of the
 * connection is the end of the program.
 *
 * This file is included by a program that knows nothing of PostgreSQL.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#ifndef OMENDB_ROCKS_PROTOCOL_H
#define OMENDB_ROCKS_PROTOCOL_H

#include <stdint.h>

#define ROCKS_PROGRAM		"omendb_rocksdb"
#define ROCKS_PROTOCOL		1
#define ROCKS_MAGIC			0x4B524D4F	/* "OMRK" */
/* the descriptor under which the program finds the connection */
#define ROCKS_SOCKET		3
#define ROCKS_MAX_LENGTH	(256 * 1024)	/* bytes after a header */

/* names of the links through which RocksDB takes files */
#define ROCKS_LINK_PREFIX	"ingest-"

typedef enum RocksOp
{
	ROCKS_OP_OPEN = 1,			/* RocksOpen -> RocksLive ..., RocksReply */
	ROCKS_OP_INGEST,			/* paths, each ended by a zero -> RocksReply:
								 * the column family */
	ROCKS_OP_DROP				/* RocksDrop ... -> RocksReply: how many have
								 * been dropped */
} RocksOp;

typedef enum RocksStatus
{
	ROCKS_REQUEST = 0,
	ROCKS_MORE,
	ROCKS_DONE,
	ROCKS_ERROR					/* RocksReply with a text */
} RocksStatus;

typedef struct RocksFrame
{
	uint32_t	magic;
	uint32_t	length;			/* bytes that follow */
	uint32_t	number;			/* of the request */
	uint16_t	op;
	uint16_t	status;
} RocksFrame;

typedef struct RocksOpen
{
	uint32_t	protocol;
	uint32_t	files;			/* how many row groups there are, roughly */
	char		path[64];		/* RocksDB's folder, ended by a zero */
} RocksOpen;

/* a row group that RocksDB has */
typedef struct RocksLive
{
	uint8_t		id[16];
	uint64_t	size;			/* bytes */
	uint64_t	file;			/* its name in RocksDB's folder, a number */
	uint32_t	family;			/* column family */
	uint32_t	unused;
} RocksLive;

typedef struct RocksDrop
{
	uint8_t		id[16];
	uint32_t	family;
	uint32_t	unused;
} RocksDrop;

typedef struct RocksReply
{
	uint32_t	value;
	char		text[508];		/* ended by a zero */
} RocksReply;

#endif							/* OMENDB_ROCKS_PROTOCOL_H */
