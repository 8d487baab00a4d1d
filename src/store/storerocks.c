/*-------------------------------------------------------------------------
 *
 * storerocks.c
 *	  Start, ask and bury the process that has RocksDB; runs in the worker.
 *
 * RocksDB throws C++ exceptions through its C interface (no memory, no threads)
 * and has assertions: any of them ends the process that it is in.  That is
 * omendb_rocksdb (rocks/), a child of the worker's that shares no memory with
 * it.  They speak over a socket (rocks/protocol.h), one request at a time.
 *
 * Nothing here ever waits for the child, or it could stop the worker: the socket
 * does not block, a request that is not answered in time is answered by SIGKILL.
 *
 * Copyright (c) 2026, the omendb developers
 *
 *-------------------------------------------------------------------------
 */
#include "store/storerocks.h"

#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

#include "access/xlog.h"
#include "miscadmin.h"
#include "storage/fd.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* changes when the use of RocksDB does: an older one is made again */
#define DB_LAYOUT			3
/* says whose folder it is; a RocksDB of another server is thrown away */
#define DB_OWNER_FILE		OMEN_DB_DIR "/omendb.owner"
/* how long a child may take to end when it is told to, ms */
#define STOP_TIME			5000

typedef enum ChildState
{
	CHILD_NONE,
	CHILD_OPENING,
	CHILD_IDLE,
	CHILD_BUSY
} ChildState;

static ChildState child_state = CHILD_NONE;
static pid_t child_pid = 0;
static pid_t lingering_pid = 0; /* killed, but has not ended yet */
static pgsocket child_socket = PGINVALID_SOCKET;
static uint32 request_number = 0;
static TimestampTz request_start;

/* what is still to be sent */
static char *out_data = NULL;
static Size out_len = 0;
static Size out_sent = 0;

/* the frame that is being received */
static RocksFrame in_frame;
static Size in_header;			/* bytes of it that have come */
static Size in_payload;
static char *in_data = NULL;	/* ROCKS_MAX_LENGTH */

static char gone_text[OMEN_ERROR_LEN];

/* Say why something failed. */
void
omen_failure(OmenFailure *failure, int code, const char *fmt,...)
{
	va_list		args;

	failure->code = code;
	va_start(args, fmt);
	vsnprintf(failure->text, sizeof(failure->text), fmt, args);
	va_end(args);
}

static void
publish_pid(pid_t pid)
{
	SpinLockAcquire(&omen_store->mutex);
	omen_store->rocks_pid = pid;
	if (pid != 0)
		omen_store->rocks_starts++;
	SpinLockRelease(&omen_store->mutex);
}

/* ---- RocksDB's folder ---- */

/* Whose RocksDB is this?  False if it is not ours or there is none. */
static bool
check_owner_file(void)
{
	FILE	   *file = AllocateFile(DB_OWNER_FILE, "r");
	uint64		sysid = 0;
	unsigned int format = 0;
	int			n;

	if (file == NULL)
		return false;
	n = fscanf(file, "%u " UINT64_FORMAT, &format, &sysid);
	FreeFile(file);
	return n == 2 && format == DB_LAYOUT &&
		sysid == GetSystemIdentifier();
}

/* Is a child that was killed still there?  It may be using the folder. */
static bool
child_lingers(OmenFailure *failure)
{
	if (lingering_pid == 0)
		return false;
	if (waitpid(lingering_pid, NULL, WNOHANG) == 0)
	{
		omen_failure(failure, ERRCODE_SYSTEM_ERROR,
					 "RocksDB's process %d was killed, but has not ended yet",
					 (int) lingering_pid);
		return true;
	}
	lingering_pid = 0;
	return false;
}

/*
 * Begin with an empty RocksDB folder.  No child may be using it: false if one
 * is.
 */
bool
omen_rocks_wipe(OmenFailure *failure)
{
	FILE	   *file;
	bool		written;

	Assert(child_state == CHILD_NONE);
	if (child_lingers(failure))
		return false;
	if (omen_file_exists(OMEN_DB_DIR))
		rmtree(OMEN_DB_DIR, true);
	if (MakePGDirectory(OMEN_DB_DIR) != 0 && errno != EEXIST)
	{
		omen_failure(failure, ERRCODE_IO_ERROR,
					 "could not create directory \"%s\": %s",
					 OMEN_DB_DIR, strerror(errno));
		return false;
	}
	file = AllocateFile(DB_OWNER_FILE, "w");
	written = file != NULL &&
		fprintf(file, "%u " UINT64_FORMAT "\n", DB_LAYOUT,
				GetSystemIdentifier()) > 0;
	if (file == NULL || FreeFile(file) != 0 || !written)
	{
		omen_failure(failure, ERRCODE_IO_ERROR,
					 "could not write file \"%s\": %s",
					 DB_OWNER_FILE, strerror(errno));
		return false;
	}
	return true;
}

/*
 * Before opening: remove links of an ingest that was interrupted, the file of
 * options that RocksDB begins and gives up (see make_options), and the empty
 * logs of which it leaves one at every start (nothing is ever written to them,
 * so it never finds a reason to delete them).
 */
static void
tidy_folder(void)
{
	DIR		   *dir = opendir(OMEN_DB_DIR);
	struct dirent *de;

	if (dir == NULL)
		return;
	while ((de = readdir(dir)) != NULL)
	{
		char		path[MAXPGPATH];
		struct stat st;
		size_t		digits = strspn(de->d_name, "0123456789");
		const char *suffix = strrchr(de->d_name, '.');

		snprintf(path, sizeof(path), "%s/%s", OMEN_DB_DIR, de->d_name);
		if (strncmp(de->d_name, ROCKS_LINK_PREFIX, strlen(ROCKS_LINK_PREFIX)) == 0 ||
			(suffix != NULL && strcmp(suffix, ".dbtmp") == 0) ||
			(digits > 0 && strcmp(de->d_name + digits, ".log") == 0 &&
			 stat(path, &st) == 0 && st.st_size == 0))
			unlink(path);
	}
	closedir(dir);
}

/* ---- the child ---- */

/* The program lies beside the library. */
static void
program_path(char *path)
{
	Dl_info		info;
	char	   *slash;

	if (dladdr((void *) program_path, &info) != 0 && info.dli_fname != NULL)
		strlcpy(path, info.dli_fname, MAXPGPATH);
	else
		snprintf(path, MAXPGPATH, "%s/omendb", pkglib_path);
	slash = strrchr(path, '/');
	if (slash != NULL)
		slash[1] = '\0';
	else
		path[0] = '\0';
	strlcat(path, ROCKS_PROGRAM, MAXPGPATH);
}

/*
 * In the child, before the program: nothing of PostgreSQL may remain, and only
 * what is safe in a signal handler may be called.
 */
static void
become_program(const char *path, int socket, pid_t parent)
{
	char	   *const argv[] = {ROCKS_PROGRAM, DataDir, NULL};
	sigset_t	none;
	int			null;

	/* signals to the worker's process group are not for us */
	setsid();
#ifdef PR_SET_PDEATHSIG
	/* never outlive the worker, however it ends */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
#endif
	if (getppid() != parent)
		_exit(1);
	for (int sig = 1; sig < NSIG; sig++)
		signal(sig, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);

	/* standard error stays the server's log */
	null = open("/dev/null", O_RDWR);
	if (null >= 0)
	{
		dup2(null, STDIN_FILENO);
		dup2(null, STDOUT_FILENO);
	}
	if (socket != ROCKS_SOCKET)
		dup2(socket, ROCKS_SOCKET);
	else
		fcntl(socket, F_SETFD, 0);
	{
		long		max = sysconf(_SC_OPEN_MAX);

		for (int fd = ROCKS_SOCKET + 1; fd < Min(max, 65536); fd++)
			close(fd);
	}
	execv(path, argv);
	_exit(127);
}

static void
send_frame(RocksOp op, const void *data, Size len)
{
	RocksFrame	frame;

	Assert(out_data == NULL && len <= ROCKS_MAX_LENGTH);
	memset(&frame, 0, sizeof(frame));
	frame.magic = ROCKS_MAGIC;
	frame.length = (uint32) len;
	frame.number = ++request_number;
	frame.op = op;
	frame.status = ROCKS_REQUEST;
	out_data = MemoryContextAlloc(TopMemoryContext, sizeof(frame) + len);
	memcpy(out_data, &frame, sizeof(frame));
	memcpy(out_data + sizeof(frame), data, len);
	out_len = sizeof(frame) + len;
	out_sent = 0;
	request_start = omen_clock();
}

/*
 * Start the child and have it open RocksDB.  nfiles says how many row groups
 * there are, roughly.  False with the reason if it cannot be started.
 */
bool
omen_rocks_start(uint64 nfiles, OmenFailure *failure)
{
	char		path[MAXPGPATH];
	int			pair[2];
	RocksOpen	open_request;
	pid_t		parent = getpid();

	Assert(child_state == CHILD_NONE);
	if (child_lingers(failure))
		return false;
	if (in_data == NULL)
		in_data = MemoryContextAlloc(TopMemoryContext, ROCKS_MAX_LENGTH);
	if (!check_owner_file() && !omen_rocks_wipe(failure))
		return false;
	tidy_folder();

	program_path(path);
	if (access(path, X_OK) != 0)
	{
		omen_failure(failure, ERRCODE_UNDEFINED_FILE,
					 "could not execute program \"%s\": %s", path,
					 strerror(errno));
		return false;
	}
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0)
	{
		omen_failure(failure, ERRCODE_IO_ERROR,
					 "could not create a socket: %s", strerror(errno));
		return false;
	}
	if (!pg_set_noblock(pair[0]) ||
		fcntl(pair[0], F_SETFD, FD_CLOEXEC) != 0)
		elog(ERROR, "could not set up a socket: %m");
	child_pid = fork();
	if (child_pid == 0)
		become_program(path, pair[1], parent);
	close(pair[1]);
	if (child_pid < 0)
	{
		omen_failure(failure, ERRCODE_INSUFFICIENT_RESOURCES,
					 "could not start a process for RocksDB: %s",
					 strerror(errno));
		close(pair[0]);
		child_pid = 0;
		return false;
	}
	child_socket = pair[0];
	child_state = CHILD_OPENING;
	in_header = in_payload = 0;
	publish_pid(child_pid);

	memset(&open_request, 0, sizeof(open_request));
	open_request.protocol = ROCKS_PROTOCOL;
	open_request.files = (uint32) Min(nfiles, PG_UINT32_MAX);
	strlcpy(open_request.path, OMEN_DB_DIR, sizeof(open_request.path));
	send_frame(ROCKS_OP_OPEN, &open_request, sizeof(open_request));
	return true;
}

/* Forget the connection. */
static void
close_connection(void)
{
	if (child_socket != PGINVALID_SOCKET)
		close(child_socket);
	child_socket = PGINVALID_SOCKET;
	if (out_data != NULL)
		pfree(out_data);
	out_data = NULL;
}

/*
 * The child has ended, or has been killed: take note of it.  what: why, or NULL
 * if that is to be found out.
 */
static void
bury(const char *what)
{
	int			status = 0;
	pid_t		pid = 0;

	close_connection();
	/* one that only closed its end of the connection is of no use either */
	for (int i = 0; i < 50 && pid == 0; i++)
	{
		if (i > 0)
			pg_usleep(2000);
		pid = waitpid(child_pid, &status, WNOHANG);
	}
	if (pid == 0)
	{
		/* it may be stuck in the kernel: do not wait for it */
		kill(child_pid, SIGKILL);
		lingering_pid = child_pid;
	}

	if (what != NULL)
		strlcpy(gone_text, what, sizeof(gone_text));
	else if (pid <= 0)
		snprintf(gone_text, sizeof(gone_text),
				 "RocksDB's process %d has gone", (int) child_pid);
	else if (WIFSIGNALED(status))
		snprintf(gone_text, sizeof(gone_text),
				 "RocksDB's process %d was terminated by signal %d: %s",
				 (int) child_pid, WTERMSIG(status),
				 pg_strsignal(WTERMSIG(status)));
	else
		snprintf(gone_text, sizeof(gone_text),
				 "RocksDB's process %d exited with exit code %d",
				 (int) child_pid, WEXITSTATUS(status));
	child_pid = 0;
	child_state = CHILD_NONE;
	publish_pid(0);
}

/*
 * Kill the child, which is of no use any more.
 */
void
omen_rocks_end(void)
{
	if (child_state == CHILD_NONE)
		return;
	kill(child_pid, SIGKILL);
	bury("RocksDB's process has been ended");
}

/*
 * The worker ends: let the child close RocksDB, but do not wait for ever.
 */
void
omen_rocks_stop(void)
{
	TimestampTz start = omen_clock();

	if (child_state == CHILD_NONE)
		return;
	/* the end of the connection tells it to go */
	close_connection();
	while (waitpid(child_pid, NULL, WNOHANG) == 0)
	{
		if (child_state != CHILD_IDLE ||
			TimestampDifferenceExceeds(start, omen_clock(), STOP_TIME))
		{
			kill(child_pid, SIGKILL);
			waitpid(child_pid, NULL, 0);
			break;
		}
		pg_usleep(2000);
	}
	child_pid = 0;
	child_state = CHILD_NONE;
	publish_pid(0);
}

bool
omen_rocks_running(void)
{
	return child_state != CHILD_NONE;
}

/* Has it opened RocksDB, and nothing to do? */
bool
omen_rocks_idle(void)
{
	return child_state == CHILD_IDLE;
}

/* Ask to take in files: paths, each ended by a zero, len bytes in all. */
void
omen_rocks_ingest(const char *paths, Size len)
{
	Assert(child_state == CHILD_IDLE);
	send_frame(ROCKS_OP_INGEST, paths, len);
	child_state = CHILD_BUSY;
}

/* Ask to drop row groups. */
void
omen_rocks_drop(const RocksDrop *drops, int ndrops)
{
	Assert(child_state == CHILD_IDLE);
	send_frame(ROCKS_OP_DROP, drops, sizeof(RocksDrop) * ndrops);
	child_state = CHILD_BUSY;
}

/* The socket to wait for, or PGINVALID_SOCKET */
pgsocket
omen_rocks_socket(bool *writing)
{
	*writing = out_data != NULL;
	return child_socket;
}

/* How long the child may still take for its answer, ms; -1: nothing is asked */
long
omen_rocks_timeout(void)
{
	if (child_state != CHILD_OPENING && child_state != CHILD_BUSY)
		return -1;
	return TimestampDifferenceMilliseconds(omen_clock(),
										   TimestampTzPlusMilliseconds(request_start,
																	   omen_rocksdb_timeout * 1000L));
}

/*
 * Receive up to `want` bytes into data + *have.  1: all are there; 0: not yet;
 * -1: the connection has ended.
 */
static int
receive(void *data, Size want, Size *have)
{
	while (*have < want)
	{
		ssize_t		n = recv(child_socket, (char *) data + *have, want - *have, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return 0;
		if (n <= 0)
			return -1;
		*have += n;
	}
	return 1;
}

static void
send_output(void)
{
	while (out_data != NULL)
	{
		/* that it has gone is found out by receiving */
		ssize_t		n = send(child_socket, out_data + out_sent,
							 out_len - out_sent, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return;
		out_sent += n;
		if (out_sent == out_len)
		{
			pfree(out_data);
			out_data = NULL;
		}
	}
}

/* What a whole frame says; false if it makes no sense. */
static bool
frame_event(OmenRocksEvent *event)
{
	RocksReply *reply = (RocksReply *) in_data;

	switch (in_frame.status)
	{
		case ROCKS_MORE:
			event->kind = OMEN_ROCKS_LIVE;
			event->live = (RocksLive *) in_data;
			event->nlive = in_frame.length / sizeof(RocksLive);
			/* it is alive */
			request_start = omen_clock();
			return child_state == CHILD_OPENING &&
				in_frame.length % sizeof(RocksLive) == 0;
		case ROCKS_DONE:
		case ROCKS_ERROR:
			if (in_frame.length != sizeof(RocksReply) ||
				memchr(reply->text, 0, sizeof(reply->text)) == NULL)
				return false;
			event->value = reply->value;
			event->text = reply->text;
			if (in_frame.status == ROCKS_ERROR)
				event->kind = OMEN_ROCKS_FAILED;
			else if (child_state == CHILD_OPENING)
				event->kind = OMEN_ROCKS_OPENED;
			else
				event->kind = OMEN_ROCKS_DONE;
			child_state = CHILD_IDLE;
			return true;
		default:
			return false;
	}
}

/*
 * What has happened?  Call until it is nothing.
 */
void
omen_rocks_next_event(OmenRocksEvent *event)
{
	int			got;

	memset(event, 0, sizeof(*event));
	event->kind = OMEN_ROCKS_NOTHING;
	if (child_state == CHILD_NONE)
		return;
	send_output();
	got = receive(&in_frame, sizeof(in_frame), &in_header);
	if (got > 0)
	{
		if (in_frame.magic != ROCKS_MAGIC ||
			in_frame.length > ROCKS_MAX_LENGTH ||
			in_frame.number != request_number ||
			(child_state != CHILD_OPENING && child_state != CHILD_BUSY))
		{
			kill(child_pid, SIGKILL);
			bury("RocksDB's process has sent nonsense");
			goto gone;
		}
		got = receive(in_data, in_frame.length, &in_payload);
	}
	if (got > 0)
	{
		in_header = in_payload = 0;
		if (frame_event(event))
			return;
		kill(child_pid, SIGKILL);
		bury("RocksDB's process has sent nonsense");
		goto gone;
	}
	if (got < 0)
	{
		bury(NULL);
		goto gone;
	}
	if (omen_rocks_timeout() == 0)
	{
		char		text[OMEN_ERROR_LEN];

		snprintf(text, sizeof(text),
				 "RocksDB's process %d has not answered for %d s and was killed",
				 (int) child_pid, omen_rocksdb_timeout);
		kill(child_pid, SIGKILL);
		bury(text);
		goto gone;
	}
	return;

gone:
	event->kind = OMEN_ROCKS_GONE;
	event->text = gone_text;
}
