#!/bin/sh
# SPDX-License-Identifier: MIT
# test_geocode.sh: the programs of examples/concurrency: what they print, and how they take bad input of each kind.
# usage: test_geocode.sh EXAMPLES
. "$(dirname "$0")/tap.sh"

# A minute is for machines that are busy with much else; nothing here needs a second of it.
patience=60
programs='geocode_sync geocode_thread_per_item geocode_pool geocode_two_way executors geocode_async
geocode_run_in_executor geocode_process_pool geocode_either'
slow_programs='geocode_errors geocode_throttled' # these wait on purpose, for a second or so

cat >"$tmp/table" <<'END'
       Reykjavík, Iceland,  64.15, -21.94
          Vienna, Austria,  48.21,  16.37
           Zadar, Croatia,  44.12,  15.23
            Venice, Italy,  45.44,  12.32
          Wrocław, Poland,  51.11,  17.04
           Bologna, Italy,  44.49,  11.34
          Berlin, Germany,  52.52,  13.40
          Słubice, Poland,  52.35,  14.56
        New York, NY, USA,  40.71, -74.01
             Delhi, India,  28.70,  77.10
END
LC_ALL=C sort "$tmp/table" >"$tmp/sorted_table"

# An address where nobody listens: a server was there a moment ago.
start_server
nobody=$url
stop_server
start_server
good=$url

# ---- Good input ----

run $patience "$examples/concurrency/geocode_sync" --server "$good"
succeeds 'geocode_sync succeeds'
grep ', ' "$tmp/out" >"$tmp/printed"
prints 'geocode_sync prints the table, in order' "$tmp/table"
grep -Eq '^time elapsed: [0-9]+\.[0-9][0-9]s$' "$tmp/out"
ok $? 'geocode_sync prints its time'

for program in geocode_process_pool 'geocode_either --executor inline' 'geocode_either --executor threads' \
    'geocode_either --executor processes' 'geocode_either --executor tasks'; do
    # shellcheck disable=SC2086 # a program and its arguments
    run $patience "$examples/concurrency/"$program --server "$good"
    succeeds "$program succeeds"
    grep ', ' "$tmp/out" >"$tmp/printed"
    prints "$program prints the table, in order" "$tmp/table"
    grep -Eq '^time elapsed: [0-9]+\.[0-9][0-9]s$' "$tmp/out"
    ok $? "$program prints its time"
    # shellcheck disable=SC2086
    run $patience "$examples/concurrency/"$program --server "$good" Berlin Atlantis Oslo
    complains "$program: one place of three is not known" 1 'Atlantis: .*404'
done

for program in geocode_thread_per_item geocode_pool geocode_two_way geocode_async geocode_run_in_executor; do
    run $patience "$examples/concurrency/$program" --server "$good"
    succeeds "$program succeeds"
    grep ', ' "$tmp/out" | LC_ALL=C sort >"$tmp/printed"
    prints "$program prints the table, in any order" "$tmp/sorted_table"
    grep -Eq '^time elapsed: [0-9]+\.[0-9][0-9]s$' "$tmp/out"
    ok $? "$program prints its time"
done

for program in geocode_async geocode_run_in_executor; do
    run $patience env CONC_BACKEND=epoll "$examples/concurrency/$program" --server "$good"
    succeeds "$program succeeds with epoll"
    grep ', ' "$tmp/out" | LC_ALL=C sort >"$tmp/printed"
    prints "$program prints the table with epoll" "$tmp/sorted_table"
done

run $patience "$examples/concurrency/geocode_errors" --server "$good"
succeeds 'geocode_errors succeeds'
sed -n '/^The original/,/^The modified/p' "$tmp/out" >"$tmp/first"
sed -n '/^The modified/,$p' "$tmp/out" >"$tmp/second"
grep ',.*,.*,' "$tmp/first" | LC_ALL=C sort >"$tmp/printed"
prints 'geocode_errors: the original worker: all places but one' "$tmp/sorted_table"
grep -q '^join() has not returned in time\.$' "$tmp/first" &&
    grep -q '^No worker is left, and join() would still wait\.$' "$tmp/first"
ok $? 'geocode_errors: the original worker: join() never returns'
grep -q '^libconc reports an error that nobody looked at: Atlantis: .*404 Not Found' "$tmp/first"
ok $? 'geocode_errors: the original worker: libconc reports the error'
grep ',.*,.*,' "$tmp/second" | LC_ALL=C sort >"$tmp/printed"
prints 'geocode_errors: the modified worker: all places but one' "$tmp/sorted_table"
grep -q '^An error as a result: Atlantis: .*404 Not Found' "$tmp/second" &&
    grep -q '^11 of 11 places have a result\.$' "$tmp/second" && ! grep -q 'join()' "$tmp/second"
ok $? 'geocode_errors: the modified worker: and the error of the other'

run $patience "$examples/concurrency/executors" --server "$good"
succeeds 'executors succeeds'
grep ',.*,.*,\|,.*,' "$tmp/out" >"$tmp/printed"
cat "$tmp/table" "$tmp/table" "$tmp/table" "$tmp/table" >"$tmp/four"
prints 'executors: map() keeps the order, on all four' "$tmp/four"
[ "$(grep -c '^future.result() is 42$' "$tmp/out")" = 4 ] &&
    [ "$(grep -c '^future.result() fails: there is no answer' "$tmp/out")" = 4 ] &&
    [ "$(grep -c '^submit() after shutdown(): ' "$tmp/out")" = 4 ]
ok $? 'executors: result, error and shutdown, on all four'

for program in $programs $slow_programs; do
    run $patience env LIBCONC_SERVER="$good/" "$examples/concurrency/$program" Warsaw 'new york'
    succeeds "$program takes the server from the environment, and places from its arguments"
    grep -q '^           Warsaw, Poland,  52.23,  21.01$' "$tmp/out" &&
        grep -q 'New York, NY, USA' "$tmp/out" && ! grep -q Berlin "$tmp/out"
    ok $? "$program prints those places and no others"
done

# ---- The command line ----

for program in $programs $slow_programs; do
    run $patience "$examples/concurrency/$program" --help
    succeeds "$program --help succeeds"
    grep -q "^usage: $program " "$tmp/out" && grep -q -e '--server URL' "$tmp/out"
    ok $? "$program --help explains itself"
    run $patience "$examples/concurrency/$program" --nonsense
    complains "$program --nonsense is refused" 2 'no such option: --nonsense'
    run $patience "$examples/concurrency/$program" --timeout
    complains "$program --timeout without a value is refused" 2 'a value is missing'
    run $patience "$examples/concurrency/$program" --timeout -1
    complains "$program --timeout -1 is refused" 2 'not within'
    run $patience "$examples/concurrency/$program" --timeout 1x
    complains "$program --timeout 1x is refused" 2 'not a number'
    run $patience "$examples/concurrency/$program" --server ftp://127.0.0.1
    complains "$program --server ftp:... is refused" 2 'not an http:// URL'
done

run $patience "$examples/concurrency/geocode_either" --executor gevent
complains 'geocode_either --executor gevent is refused' 2 "not inline, threads, processes or tasks: 'gevent'"

# ---- Bad servers ----

# bad PROGRAM: each kind, with one place
bad() {
    path=$examples/concurrency/$1
    run $patience "$path" --server "$nobody" Berlin
    complains "$1: nobody listens" 1 'Berlin: http://.*: Connection refused$'
    run $patience "$path" --server "$good/bad/hang" --timeout 0.3 Berlin
    complains "$1: a server that never answers" 1 'Berlin: .*no answer in time$'
    run $patience "$path" --server "$good/bad/json" Berlin
    complains "$1: malformed JSON" 1 'Berlin: .*malformed JSON'
}

# more_bad PROGRAM: the other kinds
more_bad() {
    path=$examples/concurrency/$1
    run $patience "$path" --server "$good" Atlantis
    complains "$1: a place that is not known" 1 'Atlantis: .*404 Not Found \(no such place\)$'
    run $patience "$path" --server "$good/nowhere" Berlin
    complains "$1: another server than expected" 1 'Berlin: .*404 Not Found'
    run $patience "$path" --server "$good/status/500" Berlin
    complains "$1: status 500" 1 'Berlin: .*500 Internal Server Error'
    run $patience "$path" --server "$good/status/429" Berlin
    complains "$1: status 429" 1 'Berlin: .*429 Too Many Requests'
    run $patience "$path" --server "$good/bad/type" Berlin
    complains "$1: JSON of another kind" 1 'Berlin: .*not the answer of a geocoder$'
    run $patience "$path" --server "$good/bad/close" Berlin
    complains "$1: a server that closes early" 1 'Berlin: .*closed in the middle'
    run $patience "$path" --server "$good/bad/garbage" Berlin
    complains "$1: a server of another protocol" 1 'Berlin: .*not HTTP$'
    run $patience "$path" --server "$good/bad/drip" --timeout 0.3 Berlin
    complains "$1: a server that sends drop by drop" 1 'Berlin: .*no answer in time$'
    run $patience "$path" --server "$good" ''
    complains "$1: an empty name" 1 '400 Bad Request'
    run $patience "$path" --server "$good" "$(printf '%03000d' 0)"
    complains "$1: a name of 3000 bytes" 1 'the name is too long'
}

for program in $programs; do
    bad "$program"
    more_bad "$program"
done
for program in $slow_programs; do
    bad "$program"
done

for program in geocode_sync geocode_thread_per_item geocode_pool geocode_two_way geocode_async \
    geocode_run_in_executor geocode_process_pool geocode_either; do
    run $patience "$examples/concurrency/$program" --server "$nobody"
    complains "$program: nobody listens, ten places, one line" 1 'Connection refused'
    run $patience "$examples/concurrency/$program" --server "$good" Berlin Atlantis Oslo
    complains "$program: one place of three is not known" 1 'Atlantis: .*404'
done
for program in geocode_thread_per_item geocode_async geocode_run_in_executor; do
    run $patience "$examples/concurrency/$program" --server "$nobody"
    grep -q '(and 9 more failed)$' "$tmp/err"
    ok $? "$program counts the failures that it does not show"
done

timeout $patience "$examples/concurrency/geocode_sync" --server "$good" >/dev/full 2>"$tmp/err"
status=$?
complains 'geocode_sync: an output that cannot be written' 1 'cannot write the output'

# ---- The throttle ----

start_server --limit 4 --burst 5
run $patience "$examples/concurrency/geocode_throttled" --server "$url" --rate 4
succeeds 'geocode_throttled succeeds against a limit'
sed -n '1,/requests, /p' "$tmp/out" >"$tmp/first"
sed -n '/^With a throttle/,$p' "$tmp/out" >"$tmp/second"
grep -q '^refused: .*429 Too Many Requests' "$tmp/first" && grep -Eq '^10 requests, [1-9]+ refused$' "$tmp/first"
ok $? 'geocode_throttled: without a throttle some are refused, and reported'
grep ',.*,' "$tmp/second" | grep -v requests | LC_ALL=C sort >"$tmp/printed"
prints 'geocode_throttled: with it none is missing' "$tmp/sorted_table"
# 4.0; a little less on a busy machine, never more
rate=$(sed -n 's/^10 requests, 0 refused, \(.*\) requests per second$/\1/p' "$tmp/second")
echo "$rate" | awk '{ exit !($1 >= 2.0 && $1 <= 4.0) }'
ok $? 'geocode_throttled: at its rate'
[ -n "$rate" ] || said "$tmp/second"
run $patience "$examples/concurrency/geocode_throttled" --server "$url" --rate 0
complains 'geocode_throttled --rate 0 is refused' 2 'not within'

stop_server
ok $status 'that server stops well'
finish
