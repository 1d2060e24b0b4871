#!/bin/sh
# own.sh - records the traces that the project carries: real programs, at work on the project's own files.
#
#   RECORDER=build/host/mtrace-record.so sh tools/trace/own.sh tests/traces      (make traces-self)
#
# Chosen so that their shapes differ, and from programs that are installed anyway; docs/traces.md says what each does.
# Another version of a program, or of the file it works on, gives another trace: as good, and no better.
set -eu

to=$1
: "${RECORDER:?the recorder to use: make recorder}"
python=${PYTHON:-/usr/bin/python3}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# record NAME [--program P] -- COMMAND...: what the program prints is not of interest, unless it fails.
record() {
    name=$1
    shift
    if ! "$python" tools/trace/trace.py record --library "$RECORDER" -o "$to/$name.mtrace.xz" "$@" \
            >"$work/out" 2>"$work/err"; then
        cat "$work/out" "$work/err" >&2
        echo "own.sh: $name could not be recorded" >&2
        exit 1
    fi
    grep '^trace: .* operations, .* slots' "$work/err"
}

# Hashes that start from a random number would give another trace each time.
PYTHONHASHSEED=0
PERL_HASH_SEED=0
export PYTHONHASHSEED PERL_HASH_SEED

# A compiler: many sizes, large tables, little freed before the end.
record cc1 --program cc1 -- gcc -O1 -I. -S lib/string.c -o /dev/null

# C++: nodes of lists and maps, short strings.
record cppcheck -- cppcheck --quiet --enable=style -I. lib/list.c

# An assembler, pass after pass: the same small blocks again and again.
record nasm -- nasm -f bin -Iboot/ boot/loader.asm -o "$work/loader.bin"

# Strings that grow, and a hash table: many reallocs.
# shellcheck disable=SC2016 # the dollars are Perl's
record perl -- perl -e '
    my (%count, %line);
    while (<>) {
        for my $word (/\w+/g) { $count{$word}++; $line{$word} .= " $."; }
    }
    my @common = sort { $count{$b} <=> $count{$a} || $a cmp $b } keys %count;
    print "$_$line{$_}\n" for @common;
' docs/boot.md kernel/memory.c

# Objects of a few sizes, without the pools of Python's own that would hide them (PYTHONMALLOC).
record python -- env PYTHONMALLOC=malloc /usr/bin/python3 -S -c '
import json
table = {str(i): {"name": "n%d" % i, "parts": [j / 7 for j in range(i % 9)]} for i in range(700)}
for turn in range(3):
    table = json.loads(json.dumps(table))
print(sum(len(row["parts"]) for row in table.values()))'
