#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What the programs of examples/parallel print, and what they say about bad arguments.

test_parallel.py DIRECTORY [TEST ...]     DIRECTORY: where the programs are
"""
import re
import sys

import runner

programs = runner.Programs(sys.argv[1])

# Program: may it have operands?
ALL = {
    "table07_01_threads": False,
    "exercise07_01_return_via_queue": True,
    "thread_pool_hello": False,
    "listing07_03_increment": False,
    "table07_02_deadlock": False,
    "listing07_04_task_results": False,
    "listing07_05_github_commits": True,
    "listing07_06_reentrant": False,
    "listing07_07_conditions": False,
    "listing07_08_barriers": False,
    "listing07_09_events": False,
    "listing07_10_semaphore": False,
    "listing07_01_nonblocking": False,
    "listing07_11_async_increment": False,
    "table07_03_tasks": False,
    "listing07_12_list_of_awaitables": False,
    "listing07_13_awaited_list": False,
    "listing07_14_async_generator": False,
    "listing07_15_gather": False,
    "listing07_16_unsafe": False,
    "listing07_17_locked": False,
    "blocking_in_loop": False,
}
WITH_SEED = ["listing07_08_barriers", "listing07_09_events", "listing07_10_semaphore"]

# With this one the first five random numbers are 5, 7, 7, 10 and 6.
SEED_OF_LONG_WAITS = 205


# ---- The command line ----

def test_help_on_every_program_prints_usage():
    for name in ALL:
        run = programs.run(name, "--help").succeeds()
        run.check(run.out.startswith("usage: " + name), "it should tell how to use it")


def test_unknown_option_on_every_program_is_refused():
    for name in ALL:
        programs.run(name, "--no-such-option").fails("--no-such-option", status=2).prints("")


def test_operand_where_none_belongs_is_refused():
    for name, operands in ALL.items():
        if not operands:
            programs.run(name, "operand").fails("operand", status=2).prints("")


def test_bad_values_are_refused():
    for name in WITH_SEED + ["listing07_07_conditions", "table07_03_tasks", "blocking_in_loop"]:
        for bad in "0", "-5", "1e9", "nan", "ten", "":
            programs.run(name, "--unit", bad).fails("--unit", status=2).prints("")
    for name in WITH_SEED + ["listing07_03_increment"]:
        for bad in "-1", "1.5", "x":
            programs.run(name, "--seed", bad).fails("--seed", status=2).prints("")
    for bad in "0", "-1", "many":
        programs.run("listing07_03_increment", "--attempts", bad).fails("--attempts", status=2).prints("")
    for name in "listing07_01_nonblocking", "listing07_05_github_commits":
        for bad in "0", "-1", "soon":
            programs.run(name, "--timeout", bad).fails("--timeout", status=2).prints("")


def test_missing_value_is_refused():
    for name in WITH_SEED:
        programs.run(name, "--unit").fails("--unit", status=2).prints("")


def test_output_that_cannot_be_written_is_an_error():
    for name in ("table07_01_threads", "exercise07_01_return_via_queue", "listing07_04_task_results",
                 "listing07_06_reentrant", "table07_02_deadlock", "listing07_17_locked"):
        with open("/dev/full", "w") as full:
            programs.run(name, stdout=full).fails("cannot write the output")


# ---- Threads and pools ----

def test_table07_01_prints_hello_twice():
    programs.run("table07_01_threads").succeeds().prints("Hello world!\n" * 2)


def test_table07_01_threads_have_names():
    programs.run("table07_01_threads", "--verbose").succeeds().prints(
        "Hello world! (in the thread helloworld)\n" * 2)


def test_exercise07_01_values_come_through_the_queue():
    run = programs.run("exercise07_01_return_via_queue", "/", "/tmp", "/proc").succeeds()
    found = sorted(re.sub(r": \d+\.\d\d$", "", line) for line in run.out.splitlines())
    run.check(found == ["Free memory in MiB", "Free space of / in MiB", "Free space of /proc in MiB",
                        "Free space of /tmp in MiB", "Load average of the last minute"],
              "one line for each sensor")


def test_exercise07_01_without_paths_asks_for_the_root():
    run = programs.run("exercise07_01_return_via_queue").succeeds()
    run.check("Free space of / in MiB: " in run.out, "it should ask for /")


def test_exercise07_01_an_error_in_a_thread_is_not_lost():
    run = programs.run("exercise07_01_return_via_queue", "/no/such", "/").fails("/no/such", "No such file")
    run.check(run.out.count("\n") == 3, "the others' values should be there")
    programs.run("exercise07_01_return_via_queue", "/no/such", "/none").fails("and 1 more failed")


def test_thread_pool_hello_reports_the_error_nobody_asks_for():
    run = programs.run("thread_pool_hello").prints("Hello world!\n65536\n")
    run.check(run.status == 0, "it should succeed")
    run.check(run.err.count("\n") == 1, "one line on stderr")
    run.check("a calculation failed, and nobody asked for its result" in run.err, "the error should be told")


def test_listing07_04_prints_0():
    for _ in range(20):
        programs.run("listing07_04_task_results").succeeds().prints("0\n")


# ---- Locks ----

def test_listing07_03_loses_updates_without_a_lock_and_none_with_it():
    run = programs.run("listing07_03_increment", "--attempts", 40).succeeds()
    lines = run.out.splitlines()
    run.check(len(lines) == 8 and lines[0] == "Without a lock:" and lines[4] == "With numlock:", "two parts")
    shares = []
    for line in lines[1:4] + lines[5:8]:
        match = re.match(r"^([ \d]{2}\d\.\d)% correct at sys\.setswitchinterval\((0\.\d{10})\)$", line)
        run.check(match, "the chapter's format: %r" % line)
        shares.append((float(match.group(1)), match.group(2)))
    run.check([s[1] for s in shares] == ["0.0050000000", "0.0000005000", "0.0000000005"] * 2, "the intervals")
    run.check([s[0] for s in shares[3:]] == [100, 100, 100], "with a lock all are right")
    run.check(shares[1][0] < 100 and shares[2][0] < 100, "without a lock, short intervals lose updates")
    run.check(shares[0][0] >= max(shares[1][0], shares[2][0]), "the longest interval loses the fewest")


DEADLOCK = """\
1. As little as possible under a lock
   100 increments and 100 decrements: num = 0, other = 0
2. Both locks, in a consistent order
   100 increments and 100 decrements: num = 0, other = 0
3. Both locks, in an inconsistent order
   DEADLOCK
   thread increment waits for otherlock, which is held by thread decrement
   thread decrement waits for numlock, which is held by thread increment
"""
DEADLOCK_END = """\
   increment: done; decrement: cancelled; num = 1, other = 1
"""


def test_table07_02_deadlocks_says_so_and_gets_out():
    for _ in range(10):
        run = programs.run("table07_02_deadlock").succeeds()
        # The two threads stand in the order of their age; either may be the older.
        lines = run.out.splitlines(keepends=True)
        run.check("".join(lines[:6] + sorted(lines[6:8], reverse=True)) ==
                  "".join(DEADLOCK.splitlines(keepends=True)[:6] +
                          sorted(DEADLOCK.splitlines(keepends=True)[6:8], reverse=True)), "who waits for whom")
        run.check(run.out.endswith(DEADLOCK_END), "how it ends")
        for name, other in ("increment", "decrement"), ("decrement", "increment"):
            run.check(re.search(r"thread %s +blocked on lock .* held by \d+ %s\n" % (name, other), run.out),
                      "conc_dump() should tell the same")


def test_listing07_06_prints_minus_46():
    for _ in range(20):
        programs.run("listing07_06_reentrant").succeeds().prints("-46\n")


# ---- Conditions, barriers, events, semaphores ----

def test_listing07_07_stops_after_five_results():
    run = programs.run("listing07_07_conditions", "--unit", 20).succeeds()
    lines = run.out.splitlines()
    match = re.match(r"^(\d+) items processed$", lines[-1])
    run.check(match, "the last line")
    processed = int(match.group(1))
    run.check(5 <= processed <= 8, "five, and what was begun")
    run.check(lines.count("Waiting for data") == processed, "a line for each item")
    run.check(lines.index("200 items submitted") < lines.index("Stopping workers"), "the order")
    run.check(lines[:lines.index("Stopping workers")].count("Waiting for data") >= 5, "not stopped before")


def parse_waits(run):
    """The lines as tuples: (thread, seconds to wait or None, position or None, elapsed or None, is master)."""
    events = []
    for line in run.out.splitlines():
        match = re.match(r"^Thread ([ \d]{4}\d): (?:Waiting ([ \d]\d) seconds(?: \(Master: (True|False)\))?|"
                         r"Resumed(?: in position (\d))? after (\d+\.\d{3}) seconds)$", line)
        run.check(match, "the chapter's format: %r" % line)
        thread, wait, master, position, elapsed = match.groups()
        events.append((int(thread), int(wait) if wait else None, int(position) if position else None,
                       float(elapsed) if elapsed else None, master == "True"))
    return events


def check_waits(run, events):
    """Five waits, each with a time from 1 to 10, and none ends early.

    Mostly on five threads, but the pool may use one again whose wait is over before all have begun."""
    waits, now = {}, {}
    for thread, wait, _, elapsed, _ in events:
        if wait is None:
            run.check(thread in now and elapsed >= now.pop(thread), "thread %d resumed early" % thread)
        else:
            run.check(thread not in now, "thread %d waits twice at once" % thread)
            now[thread] = waits[thread if thread not in waits else (thread, len(waits))] = wait
    run.check(len(waits) == 5 and len(events) == 10 and not now, "five waits, two lines each")
    run.check(all(1 <= w <= 10 for w in waits.values()), "from 1 to 10 seconds")
    return waits


def test_listing07_08_all_resume_together():
    run = programs.run("listing07_08_barriers", "--unit", 20).succeeds()
    events = parse_waits(run)
    check_waits(run, events)
    run.check(all(e[1] is not None for e in events[:5]), "nobody resumes before all have come")
    run.check(sorted(e[2] for e in events[5:]) == [0, 1, 2, 3, 4], "each position once")


def test_listing07_08_last_to_come_has_position_4():
    run = programs.run("listing07_08_barriers", "--unit", 60, "--seed", SEED_OF_LONG_WAITS).succeeds()
    events = parse_waits(run)
    waits = check_waits(run, events)
    by_elapsed = {e[0]: e[2] for e in events[5:]}
    longest = max(waits, key=waits.get)
    run.check(list(waits.values()).count(10) == 1, "the seed gives one longest wait")
    run.check(by_elapsed[longest] == 4, "who waits longest comes last")


def test_listing07_09_nobody_resumes_before_the_master():
    for seed in 1, 2, 3:
        run = programs.run("listing07_09_events", "--unit", 20, "--seed", seed).succeeds()
        events = parse_waits(run)
        check_waits(run, events)
        masters = [e[0] for e in events if e[4]]
        run.check(len(masters) == 1, "one master")
        resumed = [e[0] for e in events if e[1] is None]
        run.check(resumed[0] == masters[0], "the master resumes first")


def test_listing07_10_three_at_a_time():
    run = programs.run("listing07_10_semaphore", "--unit", 60, "--seed", SEED_OF_LONG_WAITS).succeeds()
    events = parse_waits(run)
    waits = check_waits(run, events)
    run.check(min(waits.values()) >= 4, "the seed gives long waits")
    now = most = 0
    for event in events:
        now += 1 if event[1] is not None else -1
        most = max(most, now)
    run.check(most == 3, "three at a time, not %d" % most)


def test_seed_repeats_the_random_numbers():
    def numbers(name, seed):
        run = programs.run(name, "--unit", 1, "--seed", seed).succeeds()
        return sorted(check_waits(run, parse_waits(run)).values())

    for name in WITH_SEED:
        first = numbers(name, 5)
        assert numbers(name, 5) == first, "%s: the same seed, other numbers" % name
        assert any(numbers(name, seed) != first for seed in range(6, 10)), "%s: --seed does nothing" % name


# ---- Tasks ----

def test_tasks_print_their_numbers():
    for name, number in (("listing07_11_async_increment", 0), ("listing07_12_list_of_awaitables", 5),
                         ("listing07_13_awaited_list", 5), ("listing07_14_async_generator", 5),
                         ("listing07_15_gather", 5), ("listing07_16_unsafe", 1), ("listing07_17_locked", 100)):
        programs.run(name).succeeds().prints("%d\n" % number)
        runner.Run(["env", "CONC_BACKEND=epoll", programs.path(name)]).succeeds().prints("%d\n" % number)


def undisturbed_times(name, pattern, least, most):
    """The times that a program prints: none below `least`, and in one of five runs all are below `most`."""
    for unit in 50, 100, 200, 500, 1000:
        run = programs.run(name, "--unit", unit).succeeds()
        match = re.match(pattern, run.out)
        run.check(match, "the format")
        times = [float(t) for t in match.groups()]
        run.check(all(t >= l for t, l in zip(times, least)), "none is too short")
        if all(t < m for t, m in zip(times, most)):
            return
    run.check(False, "five times too long")


def test_table07_03_spawned_tasks_sleep_at_once():
    undisturbed_times("table07_03_tasks", r"^awaited in turn  (\d\.\d{4})\nspawned first    (\d\.\d{4})\n"
                      r"gathered         (\d\.\d{4})\n$", (3, 1, 1), (4, 2, 2))


def test_blocking_in_loop_blocks_unless_in_an_executor():
    undisturbed_times("blocking_in_loop", r"^A blocking call in the loop:\n(\d\.\d{4})\n"
                      r"A blocking call by run_in_executor\(\):\n(\d\.\d{4})\n$", (2, 1), (3, 1.8))


if __name__ == "__main__":
    sys.exit(runner.main(dict(globals()), sys.argv[2:]))
