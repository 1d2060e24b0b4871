#!/bin/sh
# run.sh - runs the host's test programs and adds up what they say.
#
#   sh tests/host/run.sh PROGRAM...
#
# cmocka writes TAP (testanything.org): `1..N` first, then a line `ok 1 - NAME` or `not ok 1 - NAME` for each test. Its
# usual text is worded anew from release to release.
#
# A program is believed only if its lines add up: as many tests ended as it said it would run, and its exit
# status agrees. One that crashes, hangs or leaves in the middle counts as a failure. The whole output
# of each is kept beside it in PROGRAM.log and is shown if something failed.
set -u

LIMIT=120 # seconds for one program; the longest takes a few

export CMOCKA_MESSAGE_OUTPUT=TAP

passed=0
failed=0

count() { # count PATTERN FILE: lines that match
    grep -c "$1" "$2" || true
}

# ThreadSanitizer wants the addresses where it knows them: some systems scatter them too widely for it.
steady=
if setarch -R true 2>/dev/null; then steady="setarch -R"; fi

for program in "$@"; do
    case "$program" in */race_*) wrapper=$steady ;; *) wrapper= ;; esac
    log="$program.log"
    status=0
    # shellcheck disable=SC2086  # no word, or two
    timeout "$LIMIT" $wrapper "$program" >"$log" 2>&1 || status=$?
    announced=$(sed -n 's/^1\.\.\([0-9]*\)$/\1/p' "$log" | awk '{ n += $1 } END { print n + 0 }')
    ok=$(count '^ok [0-9]* - ' "$log")
    bad=$((announced - ok))
    # More tests than announced, none at all, or a bad status although each was well (a leak found at exit).
    if [ "$bad" -lt 0 ] || [ "$announced" -eq 0 ]; then bad=1; fi
    if [ "$bad" -eq 0 ] && [ "$status" -ne 0 ]; then bad=1; fi
    if [ "$bad" -ne 0 ]; then
        echo "--- $log (status $status)"
        grep -v '^ok [0-9]* - ' "$log" | head -60
    fi
    echo "$(basename "$program"): $ok passed, $bad failed"
    passed=$((passed + ok))
    failed=$((failed + bad))
done

echo "host tests: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
