/*-------------------------------------------------------------------------
 *
 * wal.h
 *	  Record types of omendb's resource manager (tables and store).
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#ifndef OMENDB_WAL_H
#define OMENDB_WAL_H

/* table records, table/tablexlog.c */
#define XLOG_OMEN_SEAL_PAGE		0x00	/* a page turns cold */
#define XLOG_OMEN_THAW_PAGE		0x10	/* a page turns hot again */
#define XLOG_OMEN_HEADER		0x20	/* header page alone */
#define XLOG_OMEN_UNSEAL		0x30	/* block 0 turns hot: no header left */
#define XLOG_OMEN_LOST_PAGE		0x40	/* keep the place of a lost page */
#define XLOG_OMEN_REPAIR		0x50	/* a lost page is there again */
/* store records, store/storexlog.c */
#define XLOG_OMEN_GIVE_BACK		0x60	/* marker pages were given back */
#define XLOG_OMEN_FILE_DATA		0x80	/* part of a row group's file */
#define XLOG_OMEN_FILE_CLOSE	0x90	/* file complete: size and CRC */
#define XLOG_OMEN_ADD_OWNER		0xA0
#define XLOG_OMEN_REMOVE_OWNER	0xB0
#define XLOG_OMEN_DROP			0xC0

extern void omen_register_rmgr(void);

#endif							/* OMENDB_WAL_H */
