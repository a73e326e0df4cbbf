/* SPDX-License-Identifier: MIT
 *
 * overflow.c: reports which task has overflowed its stack, before the program dies of it.
 *
 * How: an overflow touches the guard below the stack (stack.c) and raises SIGSEGV. The handler,
 * which must run on a stack of its own, compares the address with the guard of the stack that the
 * thread stands on (conc__stack_here), prints one line if it lies in there, and hands the signal on
 * to the action that was set before. So the program dies as it would without this handler (core
 * dump, debugger, a sanitizer's report), and other faults are handled as before.
 *
 * A handler's stack belongs to a thread. If the thread has one already, that is used. One that was
 * made here is unmapped when the thread ends; the main thread's stays.
 *
 * Two copies of the library in one process (one of them linked statically) have a handler each: the
 * one that was set later hands on what is not in one of its own guards.
 *
 * The handler calls only what is safe in a signal handler: write(2), with what base/quiet.h does
 * around it, and its own formatting.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/quiet.h"
#include "task/stack.h"
#include "wait/context.h"
#include "wait/thread.h"

/* Bytes, for what the kernel pushes (up to 11 KiB with all of the x86 registers there are) and for
 * the old handler, which may be a language runtime's. */
#define HANDLER_STACK_SIZE ((size_t)128 * 1024)

enum { LINE_MAX_BYTES = 160 };

static struct sigaction old_action;
static pthread_once_t install_once = PTHREAD_ONCE_INIT;
static bool is_installed;
static __thread bool is_watched __attribute__((tls_model("initial-exec")));

/* ---- The message ---- */

struct overflow_line {
    char text[LINE_MAX_BYTES];
    size_t length;
};

static void line_add(struct overflow_line *line, const char *text)
{
    while (*text && line->length < sizeof line->text)
        line->text[line->length++] = *text++;
}

static void line_add_number(struct overflow_line *line, size_t n)
{
    char digits[24];
    char *p = digits + sizeof digits;
    *--p = '\0';
    do
        *--p = (char)('0' + n % 10);
    while (n /= 10);
    line_add(line, p);
}

static void overflow_report(const struct stack *stack)
{
    struct overflow_line line = {.length = 0};
    const struct conc_context *self = conc__self;
    line_add(&line, "libconc: ");
    line_add(&line, self ? self->ops->kind : "thread");
    if (self) {
        line_add(&line, " '");
        line_add(&line, self->name);
        line_add(&line, "'");
    }
    line_add(&line, " has overflowed its stack of ");
    line_add_number(&line, stack->size / 1024);
    line_add(&line, " KiB; give it a larger stack_size\n");
    struct quiet quiet;
    conc__quiet_begin(&quiet);
    /* If it fails there is no other way to report it. */
    conc__quiet_end(&quiet, write(STDERR_FILENO, line.text, line.length) < 0);
}

/* ---- The handler ---- */

static void overflow_hand_on(int number, siginfo_t *info, void *machine)
{
    if (old_action.sa_flags & SA_SIGINFO) {
        old_action.sa_sigaction(number, info, machine);
    } else if (old_action.sa_handler != SIG_DFL && old_action.sa_handler != SIG_IGN) {
        old_action.sa_handler(number);
    } else {
        /* The instruction faults again, and then the kernel ends the program. */
        signal(SIGSEGV, SIG_DFL);
        if (info->si_code <= 0) /* it was sent: there is no instruction that faults */
            raise(SIGSEGV);
    }
}

static void overflow_on_fault(int number, siginfo_t *info, void *machine)
{
    int saved_errno = errno;
    const struct stack *stack = conc__stack_here;
    if (stack && conc__stack_guards(stack, info->si_addr))
        overflow_report(stack);
    errno = saved_errno;
    overflow_hand_on(number, info, machine);
}

/* ---- Setting it up ---- */

static void overflow_drop_stack(void *memory)
{
    stack_t has;
    if (sigaltstack(NULL, &has) == 0 && has.ss_sp == memory) /* else the program has set another */
        sigaltstack(&(stack_t){.ss_flags = SS_DISABLE}, NULL);
    munmap(memory, HANDLER_STACK_SIZE);
    is_watched = false;
}

static void overflow_install(void)
{
    struct sigaction action = {.sa_sigaction = overflow_on_fault};
    sigaction(SIGSEGV, NULL, &old_action); /* before overflow_on_fault() can run */
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | (old_action.sa_flags & (SA_NODEFER | SA_RESTART));
    action.sa_mask = old_action.sa_mask;
    is_installed = sigaction(SIGSEGV, &action, NULL) == 0;
}

static int overflow_give_stack(void)
{
    stack_t has;
    context_self(); /* has the name that a report gives */
    if (sigaltstack(NULL, &has) == 0 && !(has.ss_flags & SS_DISABLE))
        return 0;
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK;
    void *memory = mmap(NULL, HANDLER_STACK_SIZE, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (memory == MAP_FAILED)
        return -ENOMEM;
    stack_t stack = {.ss_sp = memory, .ss_size = HANDLER_STACK_SIZE};
    if (sigaltstack(&stack, NULL) != 0 || !conc__thread_at_end(overflow_drop_stack, memory)) {
        overflow_drop_stack(memory);
        return -ENOMEM;
    }
    return 0;
}

int conc__stack_watch_overflow(void)
{
    if (is_watched)
        return 0;
    pthread_once(&install_once, overflow_install);
    if (!is_installed)
        return -ENOMEM;
    int err = overflow_give_stack();
    is_watched = !err;
    return err;
}
