/*-------------------------------------------------------------------------
 *
 * shim.c
 *	  Just enough of the server for src/columnar to run outside of it.
 *
 *-------------------------------------------------------------------------
 */
#include "shim.h"

#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "storage/bufpage.h"

sigjmp_buf *shim_error_jump = NULL;
int			shim_sqlstate = 0;
char		shim_message[256];

volatile sig_atomic_t InterruptPending = false;
MemoryContext CurrentMemoryContext = NULL;

void
ProcessInterrupts(void)
{
}

/* ---- memory: contexts are lists of allocations ---- */

typedef struct Allocation
{
	struct Allocation *prev;
	struct Allocation *next;
	MemoryContext context;
	Size		size;
} Allocation;

typedef struct ShimContext
{
	MemoryContextData base;		/* only its address is used */
	Allocation	list;
	struct ShimContext *child;	/* first child */
	struct ShimContext *sibling;
} ShimContext;

static Size allocated = 0;

static ShimContext *
make_context(void)
{
	ShimContext *context = calloc(1, sizeof(ShimContext));

	context->list.prev = context->list.next = &context->list;
	return context;
}

MemoryContext
shim_context_create(void)
{
	return (MemoryContext) make_context();
}

Size
shim_allocated(void)
{
	return allocated;
}

MemoryContext
AllocSetContextCreateInternal(MemoryContext parent, const char *name,
							  Size minContextSize, Size initBlockSize,
							  Size maxBlockSize)
{
	ShimContext *context = make_context();
	ShimContext *above = (ShimContext *) parent;

	context->sibling = above->child;
	above->child = context;
	context->base.parent = parent;
	return (MemoryContext) context;
}

void
MemoryContextDelete(MemoryContext context)
{
	ShimContext *shim = (ShimContext *) context;

	if (context->parent)
	{
		ShimContext **link = &((ShimContext *) context->parent)->child;

		while (*link != shim)
			link = &(*link)->sibling;
		*link = shim->sibling;
	}
	while (shim->child)
		MemoryContextDelete((MemoryContext) shim->child);
	while (shim->list.next != &shim->list)
		pfree(shim->list.next + 1);
	free(shim);
}

void *
MemoryContextAlloc(MemoryContext context, Size size)
{
	Allocation *head = &((ShimContext *) context)->list;
	Allocation *new = malloc(sizeof(Allocation) + size);

	new->context = context;
	new->size = size;
	new->prev = head;
	new->next = head->next;
	new->next->prev = new;
	head->next = new;
	allocated++;
	return new + 1;
}

void *
MemoryContextAllocZero(MemoryContext context, Size size)
{
	return memset(MemoryContextAlloc(context, size), 0, size);
}

void *
MemoryContextAllocZeroAligned(MemoryContext context, Size size)
{
	return MemoryContextAllocZero(context, size);
}

void *
palloc(Size size)
{
	return MemoryContextAlloc(CurrentMemoryContext, size);
}

void *
palloc0(Size size)
{
	return MemoryContextAllocZero(CurrentMemoryContext, size);
}

void
pfree(void *pointer)
{
	Allocation *old = (Allocation *) pointer - 1;

	old->prev->next = old->next;
	old->next->prev = old->prev;
	allocated--;
	free(old);
}

void *
repalloc(void *pointer, Size size)
{
	Allocation *old = (Allocation *) pointer - 1;
	void	   *new = MemoryContextAlloc(old->context, size);

	memcpy(new, pointer, Min(size, old->size));
	pfree(pointer);
	return new;
}

/* ---- strings ---- */

void
initStringInfo(StringInfo str)
{
	str->data = palloc(1024);
	str->maxlen = 1024;
	str->len = 0;
	str->cursor = 0;
	str->data[0] = '\0';
}

StringInfo
makeStringInfo(void)
{
	StringInfo	str = palloc(sizeof(StringInfoData));

	initStringInfo(str);
	return str;
}

void
resetStringInfo(StringInfo str)
{
	str->data[0] = '\0';
	str->len = 0;
	str->cursor = 0;
}

void
enlargeStringInfo(StringInfo str, int needed)
{
	int			size = str->maxlen;

	while (size < str->len + needed + 1)
		size *= 2;
	if (size != str->maxlen)
	{
		str->data = repalloc(str->data, size);
		str->maxlen = size;
	}
}

void
appendBinaryStringInfo(StringInfo str, ShimBytes data, int datalen)
{
	enlargeStringInfo(str, datalen);
	if (datalen > 0)
		memcpy(str->data + str->len, data, datalen);
	str->len += datalen;
	str->data[str->len] = '\0';
}

void
appendStringInfoChar(StringInfo str, char ch)
{
	appendBinaryStringInfo(str, &ch, 1);
}

/* ---- pages ---- */

void
PageInit(Page page, Size pageSize, Size specialSize)
{
	PageHeader	p = (PageHeader) page;

	memset(page, 0, pageSize);
	p->pd_lower = SizeOfPageHeaderData;
	p->pd_upper = pageSize - specialSize;
	p->pd_special = pageSize - specialSize;
	PageSetPageSizeAndVersion(page, pageSize, PG_PAGE_LAYOUT_VERSION);
}

void
pg_qsort(void *base, size_t nel, size_t elsize,
		 int (*cmp) (const void *, const void *))
{
#undef qsort
	qsort(base, nel, elsize, cmp);
}

/* ---- errors ---- */

bool
errstart(int elevel, const char *domain)
{
	shim_sqlstate = ERRCODE_INTERNAL_ERROR;
	shim_message[0] = '\0';
	return true;
}

bool
errstart_cold(int elevel, const char *domain)
{
	return errstart(elevel, domain);
}

void
errfinish(const char *filename, int lineno, const char *funcname)
{
	if (shim_error_jump)
		siglongjmp(*shim_error_jump, 1);
	fprintf(stderr, "error outside of a test: %s (%s:%d)\n", shim_message,
			filename, lineno);
	abort();
}

int
errcode(int sqlerrcode)
{
	shim_sqlstate = sqlerrcode;
	return 0;
}

static int
save_message(const char *fmt, va_list args)
{
	vsnprintf(shim_message, sizeof(shim_message), fmt, args);
	return 0;
}

int
errmsg(const char *fmt,...)
{
	va_list		args;

	va_start(args, fmt);
	save_message(fmt, args);
	va_end(args);
	return 0;
}

int
errmsg_internal(const char *fmt,...)
{
	va_list		args;

	va_start(args, fmt);
	save_message(fmt, args);
	va_end(args);
	return 0;
}

int
errdetail(const char *fmt,...)
{
	return 0;
}

int
errdetail_internal(const char *fmt,...)
{
	return 0;
}

int
errhint(const char *fmt,...)
{
	return 0;
}

void
ExceptionalCondition(SHIM_FAILED_ASSERTION)
{
	fprintf(stderr, "assertion failed: %s (%s:%d)\n", conditionName, fileName,
			lineNumber);
	abort();
}
