#!/bin/sh
# run.sh - the models through Spin: as they are (no error), and with the locks taken away (it must find one).
#
#   sh tests/model/run.sh FOLDER
#
# FOLDER: where Spin writes its verifier. Ends with `model: N passed, N failed`; status 1 if one failed.
set -eu

[ $# -eq 1 ] || { echo "usage: sh tests/model/run.sh FOLDER" >&2; exit 2; }
command -v spin >/dev/null || { echo "model: spin is missing: sh tools/setup.sh --only proof installs it" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
cd "$1"
passed=0 failed=0

# judge NAME WANTED-ERRORS OPTION...: an exhaustive search, to its end.
judge() {
    name=$1 wanted=$2
    shift 2
    spin "$@" -search -O2 -DSAFETY -DMEMLIM=2000 -m1000000 "$here/arena.pml" >"$name.log" 2>&1 || true
    errors=$(sed -n 's/.*errors: \([0-9]*\).*/\1/p' "$name.log")
    states=$(sed -n 's/^ *\([0-9]*\) states, stored.*/\1/p' "$name.log")
    if [ "$errors" = "$wanted" ] && ! grep -q 'search not completed\|max search depth' "$name.log"; then
        echo "model: $name: ${states:-?} states, $errors errors: ok"
        passed=$((passed + 1))
    else
        echo "model: $name: ${states:-?} states, ${errors:-no} errors, not $wanted: FAILED (see $name.log)"
        failed=$((failed + 1))
    fi
}

judge arena 0
judge arena-without-locks 1 -DLOCKED=0
echo "model: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
