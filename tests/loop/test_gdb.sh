#!/bin/sh
# SPDX-License-Identifier: MIT
# scripts/gdb-tasks.py shows tasks and where they stand, and the program runs on unharmed.
# usage: test_gdb.sh GDB SCRIPT PROGRAM
set -u
output=$("$1" -nx -batch -ex 'set startup-with-shell off' -ex run -ex "source $2" -ex 'conc tasks' \
    -ex 'conc backtrace' -ex continue "$3" 2>&1)
failed=0

# expect NUMBER WHAT PATTERN
expect() {
    if printf '%s\n' "$output" | grep -Eq "$3"; then
        echo "ok $1 - $2"
    else
        echo "not ok $1 - $2"
        failed=1
    fi
}

echo 1..5
expect 1 'a task that runs is listed' '^0x[0-9a-f]+ +task-[0-9]+ +running$'
expect 2 'a task that waits, with its name' '^0x[0-9a-f]+ +the waiter +parked, blocked on event$'
expect 3 'where it stands' '^    #[0-9]+ +wait_in_vain '
expect 4 'where another one does' '^    #[0-9]+ +sleeper '
expect 5 'the program ends well afterwards' 'exited normally'
[ $failed = 0 ] || printf '%s\n' "$output" | sed 's/^/# /'
exit $failed
