#!/bin/bash
# redis.sh - a Redis server's day: takes the commands of standard input, answers a few questions, ends.
#
#   redis.sh FOLDER SECONDS <COMMANDS
#
# FOLDER has the program redis-server and a library in libjemalloc's place (see nojemalloc.c), and gets the server's
# socket and its log. The server has SECONDS to open the socket. Only the server runs on the allocator of LD_PRELOAD.
#
# One client, on purpose. From four on, the I/O threads of Redis 7 are at work: they parse the first of the commands
# that come at a time, and wait for each other in a loop, which beside another program on two processors took 10 s
# instead of 0.7. The thread that is at work here is the one that frees what DEL takes away: whole tables, which the
# main thread allocated. (In Redis 8, an I/O thread serves one client, too.)
set -eu

heap=${LD_PRELOAD-}
unset LD_PRELOAD
cd "$1"

fail() {
    echo "redis.sh: $*" >&2
    exit 1
}

rm -f redis.out redis.sock
mkfifo redis.out
# The server must not outlive this script, not even where that is killed.
LD_PRELOAD=$heap LD_LIBRARY_PATH=$PWD setpriv --pdeathsig KILL ./redis-server --port 0 --unixsocket redis.sock \
    --save '' --io-threads 2 --lazyfree-lazy-user-del yes --lazyfree-lazy-server-del yes \
    --enable-debug-command local >redis.out &
server=$!
trap 'kill -KILL "$server" 2>/dev/null || :' EXIT

exec 3<redis.out # waits for the server, which has it open then
rm redis.out
line='' said=nothing end=$((SECONDS + $2 + 1))
until [[ $line = *'eady to accept connections'* ]]; do # as Redis 7 has it, and 8
    left=$((end - SECONDS)) status=0
    [ "$left" -le 0 ] || read -r -t "$left" line <&3 || status=$?
    said=${line:-$said}
    if [ "$status" -gt 0 ] && [ "$status" -le 128 ]; then
        fail "the server ended before it opened its socket; its last words: $said"
    elif [ "$left" -le 0 ] || [ "$status" -ne 0 ]; then
        fail "the server has not opened its socket after $2 s; its last words: $said"
    fi
done
cat <&3 >redis.log & # a full pipe would stop a server that has much to say
exec 3<&-

redis-cli -s redis.sock --pipe || fail "redis-cli ended with status $?; what the server said is in $PWD/redis.log"
redis-cli -s redis.sock <<'END'
DBSIZE
DEBUG DIGEST
HLEN hash4
LLEN list4
ZCARD set4
END
redis-cli -s redis.sock SHUTDOWN NOSAVE
wait "$server" || fail "the server ended with status $?"
trap - EXIT
