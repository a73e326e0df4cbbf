#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What the programs of examples/asyncio print, and their kin in examples/concurrency and examples/models.

test_asyncio.py DIRECTORY [TEST ...]     DIRECTORY: the examples

The order in which countdowns come in between each other is one of time. A program that a busy machine has kept from
running can be out of it without being wrong; its own times tell, and it is run again, slower.
"""
import re
import sys

import runner

programs = runner.Programs(sys.argv[1])

# Program: may it have operands?
ALL = {
    "asyncio/example1_countdown_sync": False,
    "asyncio/example2_countdown_tasks": False,
    "asyncio/example2b_countdown_blocked": False,
    "asyncio/example3_primes_sync": True,
    "asyncio/example4_primes_tasks": True,
    "asyncio/example5_countdown_threads": False,
    "asyncio/example6_primes_processes": True,
    "asyncio/ten_thousand_sleeps": False,
    "concurrency/async_print": False,
    "concurrency/async_wait": False,
    "models/say": False,
}
WITH_UNIT = ["asyncio/example1_countdown_sync", "asyncio/example2_countdown_tasks",
             "asyncio/example2b_countdown_blocked", "asyncio/example5_countdown_threads", "asyncio/ten_thousand_sleeps",
             "concurrency/async_wait", "models/say"]


# ---- The command line ----

def test_help_on_every_program_prints_usage():
    for name in ALL:
        run = programs.run(name, "--help").succeeds()
        run.check(run.out.startswith("usage: " + name.split("/")[1]), "it should tell how to use it")


def test_unknown_option_on_every_program_is_refused():
    for name in ALL:
        programs.run(name, "--no-such-option").fails("--no-such-option", status=2).prints("")


def test_operand_where_none_belongs_is_refused():
    for name, operands in ALL.items():
        if not operands:
            programs.run(name, "operand").fails("operand", status=2).prints("")


def test_bad_values_are_refused():
    for name in WITH_UNIT:
        for bad in "0", "-5", "1e9", "nan", "ten", "":
            programs.run(name, "--unit", bad).fails("--unit", status=2).prints("")
    for bad in "0", "-1", "1.5", "1e9", "many":
        programs.run("asyncio/ten_thousand_sleeps", "--tasks", bad).fails("--tasks", status=2).prints("")
    for name in "asyncio/example3_primes_sync", "asyncio/example4_primes_tasks", "asyncio/example6_primes_processes":
        for bad in "x", "", "1.5", "7x", "9223372036854775808":
            programs.run(name, "7", bad).fails("'%s'" % bad, status=2).prints("")
        programs.run(name, *range(101)).fails("more than 100", status=2).prints("")


def test_output_that_cannot_be_written_is_an_error():
    for name in "asyncio/example1_countdown_sync", "asyncio/example2_countdown_tasks", "models/say":
        with open("/dev/full", "w") as full:
            programs.run(name, "--unit", 1, stdout=full).fails("cannot write the output")
    for name in "asyncio/example4_primes_tasks", "asyncio/example6_primes_processes":
        with open("/dev/full", "w") as full:
            programs.run(name, 7, stdout=full).fails("cannot write the output")


def test_epoll_will_do():
    for name in ALL:
        arguments = ["--unit", "5"] if name in WITH_UNIT else ["7"] if ALL[name] else []
        arguments += ["--tasks", "20"] if name.endswith("sleeps") else []
        runner.Run(["env", "CONC_BACKEND=epoll", programs.path(name)] + arguments).succeeds()


# ---- Countdowns ----

DELAYS = {"A": 1.0, "B": 0.8, "C": 0.5}


def parse_countdowns(run):
    """The lines as tuples (time, letter, number), after a look at the chapter's format."""
    lines = run.out.splitlines()
    run.check(lines[-2:] == ["-" * 40, "Done."], "the end")
    run.check(len(lines) == 20 and lines[0:18:2] == ["-" * 40] * 9, "a line before each count")
    counts = []
    for line in lines[1:18:2]:
        match = re.match(r"^(\d+\.\d{4}) \t(\t*)([ABC]) = ([123])$", line)
        run.check(match, "the chapter's format: %r" % line)
        time, indents, letter, number = match.groups()
        run.check(len(indents) == "ABC".index(letter), "an indent of its own: %r" % line)
        counts.append((float(time), letter, int(number)))
    for letter in "ABC":
        run.check([c[2] for c in counts if c[1] == letter] == [3, 2, 1], "%s counts down" % letter)
    return counts


def late_by(counts, expected):
    """By how much the most belated line is late. None may be early."""
    late = 0
    for time, letter, number in counts:
        due = expected[letter, number]
        assert time >= due - 0.0001, "%s = %d came at %.4f, before %.4f" % (letter, number, time, due)
        late = max(late, time - due)
    return late


IN_TURN = {(letter, number): sum(3 * DELAYS[before] for before in "ABC" if before < letter) + (4 - number) * delay
           for letter, delay in DELAYS.items() for number in (1, 2, 3)}
AT_ONCE = {(letter, number): (4 - number) * delay for letter, delay in DELAYS.items() for number in (1, 2, 3)}


def test_example1_counts_one_after_another():
    run = programs.run("asyncio/example1_countdown_sync", "--unit", 20).succeeds()
    counts = parse_countdowns(run)
    run.check("".join(c[1] for c in counts) == "AAABBBCCC", "the order")
    late_by(counts, IN_TURN)


def test_example2b_blocked_tasks_are_no_better():
    run = programs.run("asyncio/example2b_countdown_blocked", "--unit", 20).succeeds()
    counts = parse_countdowns(run)
    run.check("".join(c[1] for c in counts) == "AAABBBCCC", "the order")
    late_by(counts, IN_TURN)


def test_example2b_debug_mode_tells_who_blocks():
    run = runner.Run(["env", "CONC_DEBUG=10", programs.path("asyncio/example2b_countdown_blocked"), "--unit", "40"])
    run.check(run.status == 0, "it should succeed")
    run.check(run.err.count("\n") >= 3, "a report for each task")


def countdown_order(name, *arguments):
    """The letters, of a run that was not disturbed."""
    for unit in 100, 200, 500, 1000, 1000:
        run = programs.run(name, "--unit", unit, *arguments).succeeds()
        counts = parse_countdowns(run)
        run.check(counts == sorted(counts, key=lambda c: c[0]), "in the order of time")
        # Between two lines, the two at 1.0 apart, there is 0.1 at least.
        if late_by(counts, AT_ONCE) < 0.05:
            return "".join(c[1] for c in counts)
    raise AssertionError("five times out of time\n%s" % run)


def test_example2_tasks_come_in_the_order_of_the_chapter():
    order = countdown_order("asyncio/example2_countdown_tasks")
    assert order == "CBACCBABA", order


def test_example5_threads_come_in_the_order_of_the_chapter():
    order = countdown_order("asyncio/example5_countdown_threads")
    # At 1.0 two threads wake up at once.
    assert order in ("CBACCBABA", "CBCACBABA"), order


# ---- Primes ----

def without_time(run):
    lines = run.out.splitlines()
    run.check(re.match(r"^Took \d+\.\d\d seconds\.$", lines[-1]), "how long it took")
    return lines[:-1]


def lines_of(number, answer):
    return ["Processing %d..." % number, "%d is %s number." % (number, answer)]


SMALL = {-7: "not a prime", 0: "not a prime", 1: "not a prime", 2: "a prime", 3: "a prime", 4: "not a prime",
         9: "not a prime", 157: "a prime", 427920331: "a prime", 2147483647: "a prime"}


def test_primes_are_told_from_others():
    for name in "asyncio/example3_primes_sync", "asyncio/example4_primes_tasks":
        numbers = list(SMALL)
        expected = [line for n in numbers for line in lines_of(n, SMALL[n])]
        run = programs.run(name, "--", *numbers).succeeds()
        run.check(without_time(run) == expected, "each with its answer")


def test_example3_answers_in_turn():
    run = programs.run("asyncio/example3_primes_sync").succeeds()
    run.check(without_time(run) == lines_of(9637529763296797, "a prime") + lines_of(427920331, "a prime") +
              lines_of(157, "a prime"), "the chapter's lines")


def test_example4_answers_the_small_ones_first():
    run = programs.run("asyncio/example4_primes_tasks").succeeds()
    large = lines_of(9637529763296797, "a prime")
    run.check(without_time(run) == large[:1] + lines_of(427920331, "a prime") + lines_of(157, "a prime") + large[1:],
              "the chapter's lines")


def test_example6_answers_the_small_ones_first():
    expected = lines_of(9637529763296797, "a prime") + lines_of(427920331, "a prime") + lines_of(157, "a prime")
    for _ in range(5):  # a process that a busy machine has not let run is late
        run = programs.run("asyncio/example6_primes_processes").succeeds()
        lines = without_time(run)
        run.check(sorted(lines) == sorted(expected), "the chapter's lines")
        if lines[-1] == "9637529763296797 is a prime number.":
            return
    run.check(False, "the large one should come last")


def test_example6_more_numbers_than_processes_are_told_from_others():
    expected = [line for n in SMALL for line in lines_of(n, SMALL[n])]
    run = programs.run("asyncio/example6_primes_processes", "--", *SMALL).succeeds()
    run.check(sorted(without_time(run)) == sorted(expected), "each with its answer")


# ---- The others ----

def test_async_print_prints_each_number_once():
    programs.run("concurrency/async_print").succeeds().prints("".join("%d\n" % n for n in range(10)))


def test_async_wait_two_take_turns():
    run = programs.run("concurrency/async_wait", "--unit", 200, "--seed", 1).succeeds()
    lines = run.out.splitlines()
    run.check(re.match(r"^time elapsed: \d+\.\d\ds$", lines.pop()), "the time")
    waited = [re.match(r"^(foo|bar) waited (0\.25|0\.5|0\.75) seconds$", line) for line in lines]
    run.check(all(waited) and len(waited) == 8, "the chapter's format")
    names = [match.group(1) for match in waited]
    run.check(names.count("foo") == 4, "four times each")
    # Nobody is done before the other has begun, whatever the random numbers: 4 * 0.25 > 0.75.
    run.check(names[:4].count("foo") not in (0, 4), "they should take turns")


def test_say_says_hello():
    programs.run("models/say", "--unit", 10).succeeds().prints("hello world\n")


def test_ten_thousand_sleeps_tells_of_all():
    for tasks in 1, 1000, 5000:  # examples/demo runs it with ten thousand
        run = programs.run("asyncio/ten_thousand_sleeps", "--unit", 100, "--tasks", tasks).succeeds()
        run.check(re.match(r"^%d tasks are asleep, on \d+ threads?, in -?[\d.]+ MiB: -?[\d.]+ KiB each\n"
                           r"time elapsed: \d+\.\d\ds\n$" % tasks, run.out), "the two lines")


if __name__ == "__main__":
    sys.exit(runner.main(dict(globals()), sys.argv[2:]))
