/*-------------------------------------------------------------------------
 *
 * modify.h
 *	  Callbacks that insert rows: heapam's, plus the reservation of header
 *	  pages.  Arguments as table_tuple_insert() and its like document them.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#ifndef OMENDB_MODIFY_H
#define OMENDB_MODIFY_H

#include "table/table.h"

extern void omen_tuple_insert(Relation rel, TupleTableSlot *slot,
							  CommandId cid, int options,
							  BulkInsertState bistate);
extern void omen_tuple_insert_speculative(Relation rel, TupleTableSlot *slot,
										  CommandId cid, int options,
										  BulkInsertState bistate,
										  uint32 spec_token);
extern void omen_multi_insert(Relation rel, TupleTableSlot **slots,
							  int ntuples, CommandId cid, int options,
							  BulkInsertState bistate);

#endif							/* OMENDB_MODIFY_H */
