/* SPDX-License-Identifier: MIT
 *
 * conc.h: all of libconc. Each header also stands alone.
 */
#ifndef CONC_H
#define CONC_H

#include <conc/barrier.h>
#include <conc/base.h>
#include <conc/bindings.h>
#include <conc/bucket.h>
#include <conc/bytes.h>
#include <conc/cond.h>
#include <conc/context.h>
#include <conc/event.h>
#include <conc/executor.h>
#include <conc/future.h>
#include <conc/generator.h>
#include <conc/group.h>
#include <conc/imap.h>
#include <conc/io.h>
#include <conc/local.h>
#include <conc/lock.h>
#include <conc/loop.h>
#include <conc/net.h>
#include <conc/pipe.h>
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

#endif
