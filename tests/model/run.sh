#!/bin/sh
# run.sh - the models through Spin: as they are (no error), and each time with something left out (it must find one).
#
#   sh tests/model/run.sh FOLDER [three]
#
# FOLDER: where Spin writes its verifier. `three`: an owner and two others, with store buffers, which takes two minutes
# and 4 GB of memory. Ends with `model: N passed, N failed`; status 1 if one failed.
set -eu

[ $# -eq 1 ] || [ "$#${2-}" = 2three ] || { echo "usage: sh tests/model/run.sh FOLDER [three]" >&2; exit 2; }
command -v spin >/dev/null || { echo "model: spin is missing: sh tools/setup.sh --only proof installs it" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
cd "$1"
passed=0 failed=0 memory=2000

# judge MODEL NAME WANTED-ERRORS OPTION...: an exhaustive search, to its end.
judge() {
    model=$1 name=$2 wanted=$3
    shift 3
    spin "$@" -search -O2 -DSAFETY -DCOLLAPSE -DMEMLIM=$memory -m1000000 "$here/$model.pml" >"$name.log" 2>&1 || true
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

three() {
    memory=8000
    judge owners owners-three 0 -DOTHERS=2 -DSTEPS=2
    judge owners owners-three-without-barrier 1 -DOTHERS=2 -DSTEPS=3 -DBARRIER=0
}

all() {
    judge arena arena 0
    judge arena arena-without-locks 1 -DLOCKED=0
    judge local local 0
    judge local local-without-standing-still 1 -DHELD=0
    judge local local-without-an-answer 1 -DANSWERED=0
    judge local local-with-another-look 1 -DONCE=0
    judge local local-with-interrupts-off 1 -DOFF=1
    judge owners owners 0 -DOTHERS=1
    judge owners owners-foreign 0 -DOTHERS=1 -DFOREIGN=1
    judge owners owners-without-barrier 1 -DOTHERS=1 -DBARRIER=0
    judge owners owners-without-taking-away 1 -DOTHERS=1 -DAWAY=0
    judge owners owners-without-second-barrier 1 -DOTHERS=1 -DSECOND=0
    judge owners owners-without-another-look 1 -DOTHERS=1 -DAGAIN=0
    judge owners owners-without-exchange 1 -DOTHERS=1 -DEXCHANGE=0
    judge owners owners-claimed-and-back 1 -DOTHERS=1 -DFOREIGN=1 -DONCE=0
    judge owners owners-marked-before 1 -DLATE=0 -DSTEPS=5
    judge owners owners-without-map 1 -DMAPPED=0 -DSTEPS=3
    judge owners owners-without-generation 1 -DGENERATION=0 -DSTEPS=3
}

"${2:-all}"
echo "model: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
