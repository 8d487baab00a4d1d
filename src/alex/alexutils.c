/*-------------------------------------------------------------------------
 *
 * alexutils.c
 *	  Handler, options, properties, and the mapping of types to images.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "alex/alex.h"

#include <math.h>

#include "access/reloptions.h"
#include "catalog/pg_type_d.h"
#include "commands/progress.h"
#include "commands/vacuum.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/float.h"

PG_FUNCTION_INFO_V1(omen_alex_handler);

static relopt_kind alex_relopt_kind;

/*
 * Called when an operator class is made.  What depends on what is as core thinks;
 * but CREATE EXTENSION is to fail at once in a server without the library.
 */
static void
alexadjustmembers(Oid opfamilyoid, Oid opclassoid, List *operators,
				  List *functions)
{
	omen_require_preload();
}

/*
 * The access method's routines.
 */
Datum
omen_alex_handler(PG_FUNCTION_ARGS)
{
	IndexAmRoutine *amroutine;

	/*
	 * Works without preloading: the planner may ask any access method about
	 * an operator of any query.  What works on an index refuses.
	 */
	amroutine = makeNode(IndexAmRoutine);
	amroutine->amstrategies = ALEX_NSTRATEGIES;
	amroutine->amsupport = ALEX_NPROCS;
	amroutine->amoptsprocnum = 0;
	amroutine->amcanorder = true;
	amroutine->amcanorderbyop = false;
	amroutine->amcanbackward = true;
	amroutine->amcanunique = true;
	amroutine->amcanmulticol = true;
	amroutine->amoptionalkey = true;
	amroutine->amsearcharray = true;
	amroutine->amsearchnulls = true;
	amroutine->amstorage = false;
	amroutine->amclusterable = true;
	amroutine->ampredlocks = true;
	amroutine->amcanparallel = true;
	amroutine->amcaninclude = true;
	amroutine->amusemaintenanceworkmem = false;
	amroutine->amparallelvacuumoptions =
		VACUUM_OPTION_PARALLEL_BULKDEL | VACUUM_OPTION_PARALLEL_COND_CLEANUP;
	amroutine->amkeytype = InvalidOid;

	amroutine->ambuild = alexbuild;
	amroutine->ambuildempty = alexbuildempty;
	amroutine->aminsert = alexinsert;
	amroutine->ambulkdelete = alexbulkdelete;
	amroutine->amvacuumcleanup = alexvacuumcleanup;
	amroutine->amcanreturn = alexcanreturn;
	amroutine->amcostestimate = alexcostestimate;
	amroutine->amoptions = alexoptions;
	amroutine->amproperty = alexproperty;
	amroutine->ambuildphasename = alexbuildphasename;
	amroutine->amvalidate = alexvalidate;
	amroutine->amadjustmembers = alexadjustmembers;
	amroutine->ambeginscan = alexbeginscan;
	amroutine->amrescan = alexrescan;
	amroutine->amgettuple = alexgettuple;
	amroutine->amgetbitmap = alexgetbitmap;
	amroutine->amendscan = alexendscan;
	amroutine->ammarkpos = alexmarkpos;
	amroutine->amrestrpos = alexrestrpos;
	amroutine->aminitparallelscan = alexinitparallelscan;
	amroutine->amparallelrescan = alexparallelrescan;

	omen_set_index_callbacks(amroutine, alex_parallel_size());

	PG_RETURN_POINTER(amroutine);
}

/* Register the storage parameters; at server start. */
void
alex_init_options(void)
{
	alex_relopt_kind = add_reloption_kind();
	add_int_reloption(alex_relopt_kind, "fillfactor",
					  "Part of a leaf's slots that a build fills, in percent",
					  ALEX_DEFAULT_FILLFACTOR, ALEX_MIN_FILLFACTOR, 100,
					  ShareUpdateExclusiveLock);
}

bytea *
alexoptions(Datum reloptions, bool validate)
{
	static const relopt_parse_elt tab[] = {
		{"fillfactor", RELOPT_TYPE_INT, offsetof(AlexOptions, fillfactor)}
	};

	omen_require_preload();
	return (bytea *) build_reloptions(reloptions, validate, alex_relopt_kind,
									  sizeof(AlexOptions), tab, lengthof(tab));
}

int
alex_fillfactor(Relation rel)
{
	return rel->rd_options ?
		((AlexOptions *) rel->rd_options)->fillfactor :
		ALEX_DEFAULT_FILLFACTOR;
}

bool
alexproperty(Oid index_oid, int attno, IndexAMProperty prop,
			 const char *propname, bool *res, bool *isnull)
{
	/* answered here to save opening the index */
	if (prop == AMPROP_RETURNABLE && attno != 0)
	{
		*res = true;
		return true;
	}
	return false;
}

char *
alexbuildphasename(int64 phasenum)
{
	switch (phasenum)
	{
		case PROGRESS_CREATEIDX_SUBPHASE_INITIALIZE:
			return "initializing";
		case PROGRESS_CREATEIDX_SUBPHASE_INITIALIZE + 1:
			return "scanning table";
		case PROGRESS_CREATEIDX_SUBPHASE_INITIALIZE + 2:
			return "sorting";
		case PROGRESS_CREATEIDX_SUBPHASE_INITIALIZE + 3:
			return "laying out leaves";
	}
	return NULL;
}

bool
alexcanreturn(Relation index, int attno)
{
	return true;
}

/* The kind of images for an operator class's input type. */
AlexKind
alex_kind_of_type(Oid type)
{
	switch (type)
	{
		case INT2OID:
			return ALEX_KIND_INT2;
		case INT4OID:
			return ALEX_KIND_INT4;
		case INT8OID:
		case TIMEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			return ALEX_KIND_INT8;
		case OIDOID:
			return ALEX_KIND_OID;
		case CHAROID:
			return ALEX_KIND_CHAR;
		case BOOLOID:
			return ALEX_KIND_BOOL;
		case DATEOID:
			return ALEX_KIND_DATE;
		case FLOAT4OID:
			return ALEX_KIND_FLOAT4;
		case FLOAT8OID:
			return ALEX_KIND_FLOAT8;
	}
	return ALEX_KIND_INVALID;
}

#define SIGN_BIT	(UINT64CONST(1) << 63)

static inline uint64
image_of_float8(float8 value)
{
	uint64		bits;

	/* one image for both zeros, and one for all NaNs, above infinity */
	if (isnan(value))
		value = get_float8_nan();
	else if (value == 0)
		value = 0.0;
	memcpy(&bits, &value, sizeof(bits));
	if (isnan(value))
		bits &= ~SIGN_BIT;
	return (bits & SIGN_BIT) ? ~bits : bits | SIGN_BIT;
}

static inline float8
float8_of_image(uint64 image)
{
	uint64		bits = (image & SIGN_BIT) ? image & ~SIGN_BIT : ~image;
	float8		value;

	memcpy(&value, &bits, sizeof(value));
	return value;
}

/*
 * Order-preserving image of a key: a < b as the operator class has it if and
 * only if image(a) < image(b), the other way round for DESC.  Types that the
 * same operators compare across (integers; floats) share one image space.
 */
uint64
alex_image(AlexKind kind, bool desc, Datum value)
{
	uint64		image = 0;

	switch (kind)
	{
		case ALEX_KIND_INT2:
			image = (uint64) (int64) DatumGetInt16(value) ^ SIGN_BIT;
			break;
		case ALEX_KIND_INT4:
		case ALEX_KIND_DATE:
			image = (uint64) (int64) DatumGetInt32(value) ^ SIGN_BIT;
			break;
		case ALEX_KIND_INT8:
			image = (uint64) DatumGetInt64(value) ^ SIGN_BIT;
			break;
		case ALEX_KIND_OID:
			image = DatumGetObjectId(value);
			break;
		case ALEX_KIND_CHAR:
			/* "char" compares as unsigned */
			image = (uint8) DatumGetChar(value);
			break;
		case ALEX_KIND_BOOL:
			image = DatumGetBool(value) ? 1 : 0;
			break;
		case ALEX_KIND_FLOAT4:
			image = image_of_float8((float8) DatumGetFloat4(value));
			break;
		case ALEX_KIND_FLOAT8:
			image = image_of_float8(DatumGetFloat8(value));
			break;
		case ALEX_KIND_INVALID:
		case ALEX_KIND_WIDE:
			elog(ERROR, "invalid alex key kind");
	}
	return desc ? ~image : image;
}

/* The key that an image stands for. */
Datum
alex_image_datum(AlexKind kind, bool desc, uint64 image)
{
	if (desc)
		image = ~image;
	switch (kind)
	{
		case ALEX_KIND_INT2:
			return Int16GetDatum((int16) (int64) (image ^ SIGN_BIT));
		case ALEX_KIND_INT4:
		case ALEX_KIND_DATE:
			return Int32GetDatum((int32) (int64) (image ^ SIGN_BIT));
		case ALEX_KIND_INT8:
			return Int64GetDatum((int64) (image ^ SIGN_BIT));
		case ALEX_KIND_OID:
			return ObjectIdGetDatum((Oid) image);
		case ALEX_KIND_CHAR:
			return CharGetDatum((char) image);
		case ALEX_KIND_BOOL:
			return BoolGetDatum(image != 0);
		case ALEX_KIND_FLOAT4:
			{
				float8		value = float8_of_image(image);

				return Float4GetDatum(isnan(value) ? get_float4_nan() :
									  (float4) value);
			}
		case ALEX_KIND_FLOAT8:
			return Float8GetDatum(float8_of_image(image));
		case ALEX_KIND_INVALID:
		case ALEX_KIND_WIDE:
			break;
	}
	elog(ERROR, "invalid alex key kind");
	return (Datum) 0;
}

/*
 * Does the image lose bits of this key (minus zero, NaNs with a payload or a
 * sign), so that the original must be kept?
 */
bool
alex_image_lossy(AlexKind kind, bool desc, Datum value, uint64 image)
{
	Datum		back;

	if (kind != ALEX_KIND_FLOAT4 && kind != ALEX_KIND_FLOAT8)
		return false;
	back = alex_image_datum(kind, desc, image);
	if (kind == ALEX_KIND_FLOAT4)
		return DatumGetInt32(back) != DatumGetInt32(value);
	return DatumGetInt64(back) != DatumGetInt64(value);
}

/*
 * The key of a new entry.  Of a wide one just the images: see AlexBound for the
 * rest.
 */
AlexKey
alex_key_of_values(Relation rel, const AlexRel *info, const Datum *values,
				   const bool *isnull, const ItemPointerData *tid)
{
	AlexKey		key;

	if (info->wide)
	{
		key.bound = NULL;
		alex_wide_images(rel, info, values, isnull,
						 IndexRelationGetNumberOfKeyAttributes(rel), 0, &key);
		return key;
	}
	if (isnull[0])
		return alex_key(info->null_class, 0, alex_tid_pack(tid));
	return alex_key(ALEX_CLASS_VALUE,
					alex_image(info->kind, info->desc, values[0]),
					alex_tid_pack(tid));
}

/*
 * What to keep beside an entry: of a wide index what the images do not hold, in
 * room; else the index tuple, or nothing if class, image and TID say
 * everything.  Errors if it is too large.
 */
AlexPayload
alex_form_payload(Relation rel, const AlexRel *info, const Datum *values,
				  const bool *isnull, const ItemPointerData *tid,
				  uint64 image, AlexPackRoom *room)
{
	IndexTuple	itup;
	AlexPayload payload = ALEX_NO_PAYLOAD;

	if (info->wide)
		return alex_pack(rel, info, values, isnull, tid, room);
	if (!info->has_include &&
		(isnull[0] || !alex_image_lossy(info->kind, info->desc, values[0],
										image)))
		return payload;

	itup = index_form_tuple(RelationGetDescr(rel), (Datum *) values,
							(bool *) isnull);
	itup->t_tid = *tid;
	payload.data = (char *) itup;
	payload.size = MAXALIGN(IndexTupleSize(itup));
	if (payload.size > ALEX_MAX_PAYLOAD)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("index row size %zu exceeds alex maximum %zu for index \"%s\"",
						payload.size, (Size) ALEX_MAX_PAYLOAD,
						RelationGetRelationName(rel)),
				 errdetail("The INCLUDE columns are stored in the index as they are."),
				 errhint("Leave wide columns out of the index.")));
	return payload;
}

/* Is the relation an alex index?  By its routines: no catalog access. */
bool
alex_is_index(Relation rel)
{
	return rel->rd_rel->relkind == RELKIND_INDEX && rel->rd_indam != NULL &&
		rel->rd_indam->ambuild == alexbuild;
}

/* Complain unless the relation is an alex index that can be read. */
void
alex_require_index(Relation rel)
{
	if (!alex_is_index(rel))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not an alex index",
						RelationGetRelationName(rel))));
	if (RELATION_IS_OTHER_TEMP(rel))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot access temporary indexes of other sessions")));
	if (!rel->rd_index->indisvalid)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("index \"%s\" is not valid",
						RelationGetRelationName(rel))));
}
