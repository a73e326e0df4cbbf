# SPDX-License-Identifier: MIT
# tap.sh: for the shell tests of the examples: TAP lines, and a demo server that cannot be left behind.
#
# A test sources this with `examples`, the build's folder of examples, in its first argument.
set -u
examples=$1
tests=0 failures=0
servers=
tmp=$(mktemp -d) || exit 1
# Proxies would answer for servers that are not there.
unset http_proxy https_proxy all_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY LIBCONC_SERVER

cleanup() {
    for pid in $servers; do
        kill -TERM "$pid" 2>/dev/null && wait "$pid"
    done
    rm -rf "$tmp"
}
trap cleanup EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# ok STATUS NAME: a test's line; STATUS 0 is good
ok() {
    tests=$((tests + 1))
    if [ "$1" = 0 ]; then
        echo "ok $tests - $2"
    else
        failures=$((failures + 1))
        echo "not ok $tests - $2"
    fi
}

# said FILE...: show what a failed test's programs have said, as TAP comments
said() {
    for file; do
        sed "s|^|# ${file##*/}: |" "$file"
    done
}

# The last thing that a test calls.
finish() {
    echo "1..$tests"
    [ $failures = 0 ]
    exit
}

# start_server OPTION...: on any free port, its URL in `url` and its process id in `server`. It ends
# with this shell, or by itself after ten minutes, whatever happens.
start_server() {
    rm -f "$tmp/url"
    mkfifo "$tmp/url" || exit 1
    "$examples/support/demo_server" --port 0 --with-parent $$ --stop-after 600 "$@" \
        >"$tmp/url" 2>"$tmp/server.err" &
    server=$!
    servers="$servers $server"
    if ! read -r url <"$tmp/url"; then
        echo "Bail out! demo_server $* has not started"
        cat "$tmp/server.err"
        exit 1
    fi
}

# stop_server [SIGNAL]: stop the last one; its exit status is in `status`
stop_server() {
    kill -"${1:-TERM}" "$server"
    wait "$server"
    status=$?
    servers=${servers% "$server"}
}

# run SECONDS COMMAND...: its outputs in $tmp/out and $tmp/err, its exit status in `status` (124: it
# was ended after SECONDS)
run() {
    seconds=$1
    shift
    timeout "$seconds" "$@" >"$tmp/out" 2>"$tmp/err" </dev/null
    status=$?
}

# complains NAME STATUS PATTERN: did the last run end with STATUS, and one line on stderr that
# begins with the program's name and has PATTERN in it?
complains() {
    if [ "$status" = "$2" ] && [ "$(wc -l <"$tmp/err")" = 1 ] &&
        grep -Eq "^[a-z_0-9]+: .*$3" "$tmp/err"; then
        ok 0 "$1"
    else
        ok 1 "$1"
        echo "# exit status $status, expected $2 and one line with '$3':"
        said "$tmp/err"
    fi
}

# succeeds NAME: did the last run end with 0, and nothing on stderr?
succeeds() {
    if [ "$status" = 0 ] && [ ! -s "$tmp/err" ]; then
        ok 0 "$1"
    else
        ok 1 "$1"
        echo "# exit status $status"
        said "$tmp/out" "$tmp/err"
    fi
}

# prints NAME FILE: is FILE what the last run printed?
prints() {
    if cmp -s "$2" "$tmp/printed"; then
        ok 0 "$1"
    else
        ok 1 "$1"
        said "$2" "$tmp/printed"
    fi
}

# refuses NAME URL: does nobody listen there any more? For a few seconds it is asked again.
refuses() {
    tries=20
    run 20 "$examples/concurrency/geocode_sync" --server "$2" --timeout 2 Berlin
    while [ $tries -gt 0 ] && ! grep -q 'refused$' "$tmp/err"; do
        sleep 0.5
        run 20 "$examples/concurrency/geocode_sync" --server "$2" --timeout 2 Berlin
        tries=$((tries - 1))
    done
    grep -q 'refused$' "$tmp/err"
    ok $? "$1"
}
