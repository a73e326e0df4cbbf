/* SPDX-License-Identifier: MIT
 *
 * matrix.h: every kind of descriptor x every operation x every condition x every way, and what is
 * expected of it. The expectation is not written down: the *oracle* makes the plain system call
 * (read(2), accept4(2) ...) on a descriptor that was prepared in the same way, in a thread that can
 * be seen to block, and libconc's outcome must be the same. What libconc adds (deadlines, CONC_NOW,
 * cancellation, conc_close()) follows from whether that call waits: judge.c.
 *
 * - A *kind* (kinds_*.c) prepares a descriptor in a state: ready, nothing there, at its end ...;
 *   and can make it ready later, and tell what came of it: the other side's bytes, the position.
 * - An *operation* (operation.c) is a call of libconc's, and the plain call that it answers to.
 * - A *condition* (condition.c) is a state, a deadline, and what happens meanwhile.
 * - A *cell* is one of each, in a way. All cells of a condition and a way run at once in one loop,
 *   in a process of their own, beside a heartbeat: batch.c. A batch that stands still, or dies, is
 *   run again in smaller parts, so that the cell that is to blame is found: run.c.
 */
#ifndef CONC_TESTS_MATRIX_H
#define CONC_TESTS_MATRIX_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <conc/base.h>

enum { MOST_KINDS = 40, RECORD_MOST = 4096, TEXT_MOST = 160 };

/* ---- Kinds ---- */

enum side { TO_READ, TO_WRITE };

enum state {
    IS_READY,     /* the operation needs not wait */
    IS_WAITING,   /* it has to, until kind->unblock() */
    IS_ENDED,     /* the other side is gone, or the end is reached */
    IS_BROKEN,    /* what can go wrong with this kind, but the next two */
    IS_WRONG_WAY, /* open for the other direction only */
    IS_CLOSED,    /* no descriptor */
};

/* A descriptor in a state. What a kind does not use stays as rig_clear() left it. */
struct rig {
    const struct kind *kind;
    enum side side;
    enum state state;
    bool opens;  /* it is for the operation `open`: the path counts */
    unsigned n;  /* calls at once */
    int fd;      /* the descriptor that is tested */
    int peer;    /* the other end, in non-blocking mode */
    int more[2]; /* further descriptors of the kind's own */
    char path[128], folder[128];
    pid_t process;
    int signo;
    unsigned supplied;     /* records that the rig has been given to read */
    unsigned unblocked;    /* how often */
    unsigned arrived[256]; /* how often the other side has received each byte */
};

/* Why a rig cannot be prepared. `none`: because this kind has no such state; else the machine does
 * not let it. Both NULL: it is prepared. */
struct setup {
    const char *none, *not_tried;
};

#define PREPARED ((struct setup){0})
#define NO_SUCH(why) ((struct setup){.none = (why)})
#define NOT_TRIED(why) ((struct setup){.not_tried = (why)})

enum {
    DATA_VARIES = 1,        /* what is read is never the same twice */
    FINISHES = 2,           /* an operation that has begun is not interrupted (slow file systems) */
    NO_TWO = 4,             /* two events may become one */
    IS_DIRECT = 16,         /* its memory must be aligned (O_DIRECT) */
    LOCKS_NO_POSITION = 32, /* the kernel does not, either */
    HAS_NO_PLACES = 64,     /* but pread(2) has another error for it */
    ARRIVES_LATER = 8,      /* what was written needs a moment to the other side */
};

struct kind {
    const char *name;
    size_t record; /* the bytes of an operation; 0: 16 */
    unsigned flags;
    const void *of; /* the kind's own */

    struct setup (*prepare)(struct rig *r);

    /* Before the operations, when all rigs have been prepared. NULL: nothing. */
    void (*seal)(struct rig *r);

    /* Make one call more go on. */
    void (*unblock)(struct rig *r);

    /* Append to text what is left to read, what has arrived, the position. NULL: nothing. */
    void (*tell)(struct rig *r, char *text);

    /* What the n bytes are that were read. NULL: bytes. */
    void (*describe)(const struct rig *r, const void *buf, size_t n, char *text);

    /* The record with that number that an operation writes. NULL: letters. */
    void (*compose)(const struct rig *r, unsigned number, void *buf);

    /* Give back what lies beside the descriptors and the process. NULL: nothing. */
    void (*release)(struct rig *r);
};

/* The kinds of the program that runs, which defines them. */
extern const struct kind *const *matrix_kinds;
extern size_t n_matrix_kinds;

static inline size_t record_of(const struct kind *kind) { return kind->record ? kind->record : 16; }

/* rig.c: what all kinds need. */
struct setup rig_prepare(struct rig *r, const struct kind *kind, enum side side, enum state state,
                         bool opens, unsigned n);
void rig_release(struct rig *r);
void rig_unblock(struct rig *r);
void rig_tell(struct rig *r, char *text);
void rig_describe(const struct rig *r, const void *buf, size_t n, char *text);
void rig_compose(const struct rig *r, unsigned number, void *buf);

void rig_supply(struct rig *r, int to);        /* write a record for the rig to read */
void rig_fill(int fd);                         /* write until there is no room */
void rig_fill_again(struct rig *r);            /* a kind's seal */
void rig_drain(struct rig *r, int from);       /* read what there is, and count its bytes */
void rig_make_room(struct rig *r);             /* drain the peer until the rig can be written to */
void rig_tell_left(struct rig *r, char *text); /* read what is left in the rig */
void rig_tell_arrived(struct rig *r, char *text); /* what the peer has received */
void rig_tell_position(struct rig *r, char *text);
bool fd_is(int fd, short events);
bool fd_becomes(int fd, short events);
void set_blocking(int fd, bool blocking);
void text_add(char *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
void text_add_counts(char *text, const unsigned counts[256]);
const char *rig_folder(void); /* of the program's own, removed at its end */
void rig_folder_remove(void);
void rig_name_path(struct rig *r, const char *folder);

/* ---- Operations ---- */

enum operation {
    DO_OPEN_READ,
    DO_OPEN_WRITE,
    DO_READ,
    DO_WRITE,
    DO_READ_NOTHING,
    DO_WRITE_NOTHING,
    DO_PREAD,
    DO_PWRITE,
    DO_POLL_IN,
    DO_POLL_OUT,
    DO_POLL_PRI,
    DO_READER,
    DO_WRITER,
    DO_STREAM_READ,
    DO_STREAM_WRITE,
    DO_ACCEPT,
    N_OPERATIONS,
};

const char *operation_name(enum operation op);
enum side operation_side(enum operation op);
bool operation_opens(enum operation op);
bool operation_polls(enum operation op);
bool operation_streams(enum operation op);
bool operation_calls_back(enum operation op);

/* A call: what it works on, and its outcome in words. */
struct call {
    struct rig *rig;
    enum operation op;
    unsigned number; /* of the call, at this rig */
    conc_deadline deadline;
    char outcome[TEXT_MOST];
};

/* By the plain system call; it may be interrupted by a signal: false. */
bool call_plainly(struct call *call);
void call_libconc(struct call *call);

/* ---- Conditions ---- */

enum condition {
    WHEN_READY,
    WHEN_LATER,
    WHEN_ENDED,
    WHEN_BROKEN,
    WHEN_WRONG_WAY,
    WHEN_CLOSED,
    WHEN_TWO_READY,
    WHEN_TWO,
    N_ASKED, /* those that the oracle is asked about come first */
    WHEN_NOW_READY = N_ASKED,
    WHEN_NOW,
    WHEN_DEADLINE,
    WHEN_CANCELLED,
    WHEN_CLOSED_MEANWHILE,
    WHEN_CLOSED_BY_THREAD,
    N_CONDITIONS,
};

enum happening { NOTHING, UNBLOCK, CANCEL, CLOSE_IN_LOOP, CLOSE_IN_THREAD };

struct condition_of {
    const char *name;
    enum state state;
    unsigned calls; /* at once */
    enum happening happening;
    enum condition asks; /* what the oracle is asked for it */
};

extern const struct condition_of conditions[N_CONDITIONS];

/* ---- Ways ---- */

enum matrix_way { WITH_CALL, WITH_URING, WITH_EPOLL, WITH_THREAD, N_WAYS };

extern const char *const way_names[N_WAYS];

/* ---- Cells ---- */

enum cell_state {
    NOT_RUN,
    IS_NONE,  /* there is no such thing; `why` */
    IS_LEFT,  /* the machine cannot set it up; `why` */
    IS_BEGUN, /* and never ended: the process died, or was killed */
    HAS_ENDED,
};

/* What came of a cell. It lies in memory that all processes of the program share. */
struct outcome {
    enum cell_state state;
    bool waited;           /* it had not ended before what happens happened */
    bool stuck;            /* it did not end, not even when it was cancelled */
    char text[TEXT_MOST];  /* of the calls, and their effect; or why it is IS_NONE or IS_LEFT */
    char after[TEXT_MOST]; /* of the plain call afterwards, once the rig was unblocked */
    int64_t took_ns;       /* until the last call's end, from when it should have come */
    int64_t stood_ns;      /* how long the loop stood still because of it */
};

struct matrix {
    struct outcome cells[N_WAYS][N_CONDITIONS][MOST_KINDS][N_OPERATIONS];
    int64_t stood_ns; /* the longest pause of the heartbeat in the last batch */
    bool no_uring;
};

extern struct matrix *matrix;

struct outcome *outcome_of_cell(enum matrix_way w, enum condition c, size_t kind,
                                enum operation op);

/* Run these cells in this process: those of kinds in [first_kind, last_kind), of operations in
 * [first_op, last_op). */
struct batch_range {
    enum matrix_way way;
    enum condition condition;
    size_t first_kind, last_kind;
    unsigned first_op, last_op;
};

void batch_run(const struct batch_range *range);

/* The exit status of a process in which calls could not be ended. The others' outcomes count. */
enum { BATCH_IS_STUCK = 3 };

/* How slow is everything, as against a plain build? And are times to be looked at? */
int64_t slowness(void);
bool times_count(void);

#define DEADLINE_NS (CONC_MS(600) * slowness())
#define PAUSE_MOST CONC_MS(250)
#define END_MOST (CONC_S(4) * slowness())

/* ---- Judging ---- */

/* Is the outcome right? Else `ret` tells what was expected. */
bool cell_is_right(enum matrix_way w, enum condition c, size_t kind, enum operation op,
                   char ret[2 * TEXT_MOST]);

/* Is the cell left out on purpose? The reason; or NULL. */
const char *cell_is_left_out(enum matrix_way w, enum condition c, const struct kind *kind,
                             enum operation op);

/* ---- Running ---- */

/* The main() of a program of the matrix: runs all, and tests one kind after another. */
int matrix_main(const struct kind *const *kinds, size_t n);

/* page.c: the lines of docs/descriptors.md, and whether they are there. */
void page_print(void);
bool page_is_right(size_t kind);

#endif
