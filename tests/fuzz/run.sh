#!/bin/sh
# run.sh - runs built fuzzers one after the other and judges them.
#
#   sh tests/fuzz/run.sh libfuzzer|afl "NAME ..." FOLDER SECONDS "LENGTH ..."
#
# FOLDER holds the programs (fuzz_NAME, afl_NAME); what a run finds new stays there, in NAME.corpus. An input that ends
# a program is kept as FOLDER/NAME.crash-... and shown with what the program said. Ends with `fuzz: N passed, N failed`.
set -eu

[ $# -eq 5 ] || { echo 'usage: sh tests/fuzz/run.sh libfuzzer|afl "NAME ..." FOLDER SECONDS "LENGTH ..."' >&2; exit 2; }
engine=$1 names=$2 folder=$3 seconds=$4 lengths=$5
kept=$(dirname "$0")/corpus
passed=0 failed=0

run_libfuzzer() { # NAME LENGTH LOG
    "$folder/fuzz_$1" -max_total_time="$seconds" -max_len="$2" -timeout=5 -print_final_stats=1 \
        -artifact_prefix="$folder/$1.crash-" "$folder/$1.corpus" "$kept/$1" >"$3" 2>&1 || return 1
    executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$3")
}

run_afl() { # NAME LENGTH LOG
    rm -rf "$folder/$1.afl"
    AFL_NO_UI=1 AFL_SKIP_CPUFREQ=1 AFL_I_DONT_CARE_ABOUT_MISSING_CRASHES=1 AFL_QUIET=1 \
        afl-fuzz -V "$seconds" -G "$2" -i "$kept/$1" -o "$folder/$1.afl" -- "$folder/afl_$1" >"$3" 2>&1 || return 1
    stats=$folder/$1.afl/default/fuzzer_stats
    executions=$(sed -n 's/^execs_done *: *//p' "$stats")
    crashes=$(sed -n 's/^saved_crashes *: *//p' "$stats")
    [ "$crashes" = 0 ] || { echo "$crashes inputs in $folder/$1.afl/default/crashes" >>"$3"; return 1; }
}

for name in $names; do
    length=${lengths%% *} lengths=${lengths#* }
    log=$folder/$name.$engine.log executions=0
    mkdir -p "$folder/$name.corpus"
    if "run_$engine" "$name" "$length" "$log" && [ "${executions:-0}" -gt 0 ]; then
        echo "fuzz $name ($engine): $executions executions in $seconds s: ok"
        passed=$((passed + 1))
    else
        tail -40 "$log"
        echo "fuzz $name ($engine): FAILED (the input is in $folder)"
        failed=$((failed + 1))
    fi
done
echo "fuzz: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
