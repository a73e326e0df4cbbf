#!/bin/sh
# SPDX-License-Identifier: MIT
# test_demo_program.sh: demo_server as a program: its command line, its one line of output, its end by each signal; and
# examples/demo, to its end and interrupted.
# usage: test_demo_program.sh EXAMPLES SOURCE
. "$(dirname "$0")/tap.sh"
demo=$2/examples/demo
demo_server=$examples/support/demo_server
geocode=$examples/concurrency/geocode_sync
patience=60

# ---- The command line ----

run $patience "$demo_server" --help
succeeds '--help succeeds'
run $patience "$demo_server" --model fibers
complains 'an unknown model is refused' 2 'not tasks, threads, pool or processes'
run $patience "$demo_server" --model processes --inside processes
complains 'an unknown model of the processes is refused' 2 'not tasks, threads or pool'
for bad in '--port 65536' '--port -1' '--port 1.5' '--latency x' '--fail-rate 1.1' '--limit 0' \
    '--workers 0' '--inside threads' '--threads 2' '--model processes --threads 2' \
    '--model processes --inside threads --threads 2' '--model processes --inside pool --threads 0' \
    '--nonsense' 'operand'; do
    # shellcheck disable=SC2086 # an option and its value
    run $patience "$demo_server" $bad
    complains "$bad is refused" 2 'try --help'
done
run $patience "$demo_server" --address localhost
complains 'an address that is not numeric is refused' 1 'not a numeric address: localhost'
start_server
run $patience "$demo_server" --port "${url##*:}"
complains 'a port that is taken is refused' 1 'cannot listen on 127.0.0.1 port .*: Address already in use'
stop_server

# ---- Its output and its end ----

for model in tasks threads pool processes 'processes --inside threads' 'processes --inside pool'; do
    for signal in TERM INT HUP; do
        # shellcheck disable=SC2086 # a name and options
        start_server --model $model --workers 2
        [ "${url#http://127.0.0.1:[1-9]}" != "$url" ]
        ok $? "$model: the URL is printed"
        run $patience "$geocode" --server "$url" Berlin
        succeeds "$model: it serves"
        stop_server $signal
        ok $status "$model: SIG$signal: it ends with 0"
        [ ! -s "$tmp/server.err" ]
        ok $? "$model: SIG$signal: it has nothing to complain of"
        refuses "$model: SIG$signal: nobody listens any more" "$url"
    done
done

run $patience "$demo_server" --port 0 --stop-after 0.2
succeeds '--stop-after stops'
[ "$(wc -l <"$tmp/out")" = 1 ]
ok $? 'one line is all that it prints'
timeout $patience "$demo_server" --port 0 >/dev/full 2>"$tmp/err"
status=$?
complains 'who cannot be told the URL has no server' 1 'cannot print the URL'

# A shell that is killed cannot stop what it has started. That all who could write into the pipe are gone is its end.
for pause in 0 1; do
    rm -f "$tmp/orphan"
    mkfifo "$tmp/orphan"
    sh -c '"$1" --port 0 --with-parent $$ --stop-after 600 & sleep "$2"; kill -KILL $$' sh "$demo_server" $pause \
        >"$tmp/orphan" 2>/dev/null &
    timeout $patience cat "$tmp/orphan" >"$tmp/out"
    ok $? "--with-parent: it ends when its parent is killed after $pause s"
    wait $!
done 2>/dev/null # where the shell says that it was killed
run $patience "$demo_server" --port 0 --with-parent 1
complains '--with-parent of somebody else is refused' 1 '1 is not the parent'

start_server --address ::1
case $url in http://\[::1\]:*) run $patience "$geocode" --server "$url" Berlin ;; *) status=1 ;; esac
succeeds 'it serves on IPv6'
stop_server

# ---- examples/demo ----

run 100 sh "$demo" "$(dirname "$examples")"
succeeds 'demo succeeds'
for program in geocode_sync geocode_thread_per_item geocode_pool geocode_two_way geocode_errors \
    geocode_async geocode_run_in_executor geocode_throttled; do
    grep -Eq "^=== $program: " "$tmp/out" && grep -Eq "^$program +[0-9]+\.[0-9]+ +[0-9.]+x " "$tmp/out"
    ok $? "demo runs $program and has it in its table"
done
grep -Eq '^  with a throttle: +10 requests, 0 refused' "$tmp/out"
ok $? 'demo: no request is refused to the throttled program'
seconds=$(sed -n 's/^geocode_sync  *\([0-9.]*\) .*x .*/\1/p' "$tmp/out")
echo "$seconds" | awk '{ exit !($1 >= 1.0) }'
ok $? 'demo: ten places one after another take a second at least'
[ "$(grep -Ec '^( *[0-9]+\.[0-9]{4} +[ABC] = [123]){4}$' "$tmp/out")" = 9 ]
ok $? 'demo: the countdowns stand side by side'
grep -Eq '^( *[0-9]+\.[0-9][0-9] seconds){4}$' "$tmp/out"
ok $? 'demo: the countdowns have their times'
grep -Eq "examples/run --list  +[a-z]" "$tmp/out"
ok $? 'demo tells where the rest is'
grep -q "^${DEMO_TASKS:-10000} tasks are asleep" "$tmp/out"
ok $? 'demo: ten thousand tasks sleep'
refuses 'demo: the server has stopped' "$(sed -n 's/^The server is //p' "$tmp/out")"

run $patience sh "$demo"
[ $status = 2 ]
ok $? 'demo without a build directory is refused'
run $patience sh "$demo" "$tmp"
complains 'demo with a wrong directory says so' 1 'is not there'

# Interrupted in the middle of its first program.
sh "$demo" "$(dirname "$examples")" >"$tmp/out" 2>"$tmp/err" </dev/null &
pid=$!
while ! grep -q '^=== geocode_sync' "$tmp/out" && kill -0 $pid; do sleep 0.05; done
kill -TERM $pid
wait $pid
[ $? = 143 ]
ok $? 'demo, interrupted, ends with 143'
refuses 'demo, interrupted, stops the server' "$(sed -n 's/^The server is //p' "$tmp/out")"

# A program that fails: a copy of the folder with one of them replaced.
mkdir -p "$tmp/build/examples/support" "$tmp/build/examples/concurrency"
ln -s "$demo_server" "$tmp/build/examples/support/demo_server"
ln -s "$geocode" "$tmp/build/examples/concurrency/geocode_sync"
broken=$tmp/build/examples/concurrency/geocode_thread_per_item
printf '#!/bin/sh\necho "geocode_thread_per_item: broken" >&2\nexit 1\n' >"$broken"
chmod +x "$broken"
run $patience sh "$demo" "$tmp/build"
complains 'demo with a program that fails says so' 1 'geocode_thread_per_item failed'
refuses 'demo with a program that fails stops the server' "$(sed -n 's/^The server is //p' "$tmp/out")"

finish
