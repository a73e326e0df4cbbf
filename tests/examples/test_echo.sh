#!/bin/sh
# SPDX-License-Identifier: MIT
# test_echo.sh: echo_server and echo_client, as a user runs them: in each model, one client and many, and what goes wrong.
# usage: test_echo.sh EXAMPLES SOURCE
. "$(dirname "$0")/tap.sh"
echo_server=$examples/network/echo_server
echo_client=$examples/network/echo_client
patience=60

# start_echo OPTION...: on any free port, which is in `port`; otherwise as start_server
start_echo() {
    rm -f "$tmp/line"
    mkfifo "$tmp/line" || exit 1
    "$echo_server" --port 0 --stop-after 600 "$@" >"$tmp/line" 2>"$tmp/server.err" &
    server=$!
    servers="$servers $server"
    if ! read -r line <"$tmp/line"; then
        echo "Bail out! echo_server $* has not started"
        cat "$tmp/server.err"
        exit 1
    fi
    port=${line##* }
}

for model in tasks threads pool; do
    start_echo --model $model
    [ "$line" = "listening on 127.0.0.1, port $port" ]
    ok $? "$model: it says where it listens"
    run $patience "$echo_client" --port "$port" hello 'two words' '' last
    succeeds "$model: a client succeeds"
    printf '%s\n' hello 'two words' '' last >"$tmp/printed"
    prints "$model: and prints what it has sent" "$tmp/out"

    clients=
    for i in 1 2 3 4 5 6 7 8 9 10; do
        timeout $patience "$echo_client" --port "$port" "client $i" "again $i" >"$tmp/client$i" 2>&1 &
        clients="$clients $!"
    done
    failed=0
    for client in $clients; do wait "$client" || failed=1; done
    ok $failed "$model: ten clients at once succeed"
    for i in 1 2 3 4 5 6 7 8 9 10; do
        [ "$(cat "$tmp/client$i")" = "$(printf 'client %d\nagain %d' $i $i)" ] || failed=1
    done
    ok $failed "$model: and each prints its own"
    stop_server
    ok $status "$model: SIGTERM: it ends with 0"
    [ ! -s "$tmp/server.err" ]
    ok $? "$model: it has nothing to complain of"
    run $patience "$echo_client" --port "$port" hello
    complains "$model: nobody listens any more" 1 "cannot connect to 127.0.0.1 port $port: Connection refused"
done

start_echo
long=$(head -c 70000 /dev/zero | tr '\0' a)
run $patience "$echo_client" --port "$port" "$long"
[ $status = 1 ]
ok $? 'a line that is too long is refused'
run $patience "$echo_client" --port "$port" hello
succeeds 'and the next client is served'
run $patience "$echo_server" --port "$port"
complains 'a port that is taken is refused' 1 "cannot listen on 127.0.0.1 port $port: Address already in use"
stop_server INT
ok $status 'SIGINT: it ends with 0'
grep -q '^echo_server: a client: no delimiter in 65536 bytes, the read limit$' "$tmp/server.err"
ok $? 'the long line is reported'

run $patience "$echo_server" --port 0 --stop-after 0.1
succeeds '--stop-after stops'
run $patience "$echo_server" --help
succeeds 'echo_server --help succeeds'
run $patience "$echo_client" --help
succeeds 'echo_client --help succeeds'
run $patience "$echo_server" --model fibers
complains 'an unknown model is refused' 2 'not tasks, threads or pool: fibers'
run $patience "$echo_client" --port 0
complains 'a port that is none is refused' 2 'try --help'

finish
