/* SPDX-License-Identifier: MIT
 *
 * structs.c: the sizes of all public structs. tests/project/check_structs.py finds one that is not
 * here.
 */
#include <conc/bindings.h>

#include <conc/barrier.h>
#include <conc/base.h>
#include <conc/bucket.h>
#include <conc/bytes.h>
#include <conc/cond.h>
#include <conc/context.h>
#include <conc/event.h>
#include <conc/executor.h>
#include <conc/executor_impl.h>
#include <conc/generator.h>
#include <conc/group.h>
#include <conc/imap.h>
#include <conc/local.h>
#include <conc/lock.h>
#include <conc/loop.h>
#include <conc/process.h>
#include <conc/process_pool.h>
#include <conc/queue.h>
#include <conc/rlock.h>
#include <conc/sem.h>
#include <conc/server.h>
#include <conc/shared.h>
#include <conc/shared_queue.h>
#include <conc/signal.h>
#include <conc/stream.h>
#include <conc/subprocess.h>
#include <conc/task.h>
#include <conc/thread.h>
#include <string.h>

#define STRUCT(type)                        \
    {                                       \
#type, sizeof(type), _Alignof(type) \
    }

static const struct {
    const char *name;
    size_t size, align;
} structs[] = {
    STRUCT(conc_barrier),
    STRUCT(conc_bucket),
    STRUCT(conc_bytes),
    STRUCT(conc_cond),
    STRUCT(conc_context_info),
    STRUCT(conc_deadline),
    STRUCT(conc_event),
    {"conc_executor", sizeof(struct conc_executor), _Alignof(struct conc_executor)},
    STRUCT(conc_executor_ops),
    STRUCT(conc_generator_options),
    STRUCT(conc_group),
    STRUCT(conc_imap_item),
    STRUCT(conc_imap_options),
    STRUCT(conc_local_token),
    STRUCT(conc_lock),
    STRUCT(conc_loop_options),
    STRUCT(conc_map_options),
    STRUCT(conc_process_options),
    STRUCT(conc_process_pool_options),
    STRUCT(conc_queue),
    STRUCT(conc_rlock),
    STRUCT(conc_run_options),
    STRUCT(conc_scope),
    STRUCT(conc_sem),
    STRUCT(conc_server_options),
    STRUCT(conc_shared_barrier),
    STRUCT(conc_shared_cond),
    STRUCT(conc_shared_event),
    STRUCT(conc_shared_lock),
    STRUCT(conc_shared_queue),
    STRUCT(conc_shared_rlock),
    STRUCT(conc_shared_sem),
    STRUCT(conc_stream_options),
    STRUCT(conc_subprocess_options),
    STRUCT(conc_task_options),
    STRUCT(conc_thread_options),
    STRUCT(conc_thread_pool_options),
    STRUCT(conc_wakeup),
};

size_t conc_struct_size(const char *name, size_t *align)
{
    for (size_t i = 0; name && i < sizeof structs / sizeof *structs; i++) {
        if (strcmp(structs[i].name, name) != 0)
            continue;
        if (align)
            *align = structs[i].align;
        return structs[i].size;
    }
    return 0;
}
