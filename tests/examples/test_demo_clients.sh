#!/bin/sh
# SPDX-License-Identifier: MIT
# test_demo_clients.sh: the demo server and clients that are not ours: curl, and wrk for a short load.
# usage: test_demo_clients.sh EXAMPLES SOURCE
. "$(dirname "$0")/tap.sh"
patience=60
# A thousand connections are as many descriptors, of the server and of wrk.
ulimit -n "$(ulimit -Hn)"

for program in curl wrk; do
    command -v $program >/dev/null || {
        echo "Bail out! $program is not there: scripts/install-packages --ci installs it"
        exit 1
    }
done

# answers NAME EXPECTED CURL-ARGUMENT...: does curl succeed and print that?
answers() {
    name=$1
    printf "$2\n" >"$tmp/printed"
    shift 2
    run $patience curl -sS "$@"
    if [ $status = 0 ]; then
        prints "$name" "$tmp/out"
    else
        succeeds "$name"
    fi
}

# load NAME CONNECTIONS PATH: a second of wrk; whatever it asks for, it gets
load() {
    run $patience wrk -t 1 -c "$2" -d 1s --timeout 30s "$url$3"
    if [ $status = 0 ] && grep -Eq '^ +[1-9][0-9]* requests in ' "$tmp/out" &&
        ! grep -Eq 'Non-2xx|Socket errors' "$tmp/out"; then
        ok 0 "$1"
    else
        ok 1 "$1"
        said "$tmp/out" "$tmp/err"
    fi
}

for model in tasks threads pool processes 'processes --inside threads' 'processes --inside pool'; do
    # shellcheck disable=SC2086 # a name and options
    start_server --model $model --workers 8
    answers "$model: curl uses a connection again" '200 1\n200 0\n200 0' \
        -w '%{http_code} %{num_connects}\n' -o "$tmp/1" "$url/geocode?address=Berlin" \
        -o "$tmp/2" "$url/page/100" -o "$tmp/3" "$url/"
    answers "$model: curl gets a large page whole" '200 16777216' \
        -w '%{http_code} %{size_download}\n' -o "$tmp/page" "$url/page/16384"
    [ "$(tail -c 15 "$tmp/page")" = '</body></html>' ]
    ok $? "$model: to its last line"
    answers "$model: curl gets a page slowly" '200 204800' --limit-rate 400K \
        -w '%{http_code} %{size_download}\n' -o "$tmp/page" "$url/page/200"
    answers "$model: curl gets a head, and no body" '200 0' -I \
        -w '%{http_code} %{size_download}\n' -o "$tmp/head" "$url/page/16384"
    grep -q '^Content-Length: 16777216' "$tmp/head"
    ok $? "$model: with the length"
    answers "$model: curl speaks HTTP/1.0" '200 1.1' -0 -w '%{http_code} %{http_version}\n' \
        -o "$tmp/1" "$url/status/200"
    answers "$model: curl follows a redirection" '404 1' -L -w '%{http_code} %{num_redirects}\n' \
        -o "$tmp/1" "$url/redirect/status/404"
    answers "$model: curl posts what nobody wants" '405' -d 'name=value' -w '%{http_code}\n' \
        -o "$tmp/1" "$url/posts"
    answers "$model: curl posts what is too long" '413' -d "@$tmp/page" -w '%{http_code}\n' \
        -o "$tmp/1" "$url/posts"
    run $patience curl -sS --parallel --parallel-max 40 -o /dev/null -w '%{http_code}\n' \
        "$url/delay/250?[1-80]"
    [ $status = 0 ] && [ "$(grep -c '^200$' "$tmp/out")" = 80 ]
    ok $? "$model: curl asks for many at once"
    run $patience curl -sS --max-time 0.3 "$url/bad/hang"
    complains "$model: curl gives up" 28 'timed out'
    load "$model: wrk on 64 connections" 64 '/geocode?address=Berlin'
    stop_server
    ok $status "$model: the server ends well"
    [ ! -s "$tmp/server.err" ]
    ok $? "$model: and has nothing to complain of"
done

start_server
load 'wrk on 1,000 connections' 1000 /status/200
load 'wrk on 1,000 connections that wait for their answers' 1000 /delay/200
load 'wrk with large pages' 16 /page/1024
stop_server
ok $status 'the server ends well'
[ ! -s "$tmp/server.err" ]
ok $? 'and has nothing to complain of'

finish
