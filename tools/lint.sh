#!/bin/sh
# lint.sh - the checkers of the source text. Each check is one line and counts as one test.
#
#   LINT_CFLAGS=... HOST_CFLAGS=... sh tools/lint.sh      (make lint sets the variables)
#
# The settings of clang-format and clang-tidy stand in .clang-format and .clang-tidy, with reasons.
# Shortcoming: clang-tidy looks at a file at a time, so a mistake that takes two files escapes it.
set -u

passed=0
failed=0
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# check NAME COMMAND...: runs it, shows its output only if it fails.
check() {
    name=$1
    shift
    if "$@" >"$log" 2>&1; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "lint: $name: FAILED"
        cat "$log"
    fi
}

sources() { # the project's files that match the patterns given, made ones left out
    for pattern in "$@"; do
        find boot lib kernel device thread tests tools bench -path '*/build' -prune -o -type f -name "$pattern" -print
    done 2>/dev/null | sort
}

kernel_only_c() { find lib kernel device thread -name '*.c' | sort; } # tests do wrong things on purpose

kernel_c() { find lib kernel device thread tests/kernel -name '*.c' | sort; }
host_c() { find tests/host tests/fuzz bench -name '*.c' 2>/dev/null | sort; }

tidy() { # tidy FLAGS FILE: clang-tidy says how many warnings it suppressed; nobody wants to know
    # The flags are words.
    # shellcheck disable=SC2086
    clang-tidy --quiet "$2" -- $1 2>&1 | grep -v 'warnings\? generated\.$' >"$log.tidy"
    if grep -q -E '(error|warning):' "$log.tidy"; then
        cat "$log.tidy"
        rm -f "$log.tidy"
        return 1
    fi
    rm -f "$log.tidy"
}

no_tabs_or_long_lines() { # 100 columns, as .clang-format says; in assembly and Python too (120: comments and tables)
    awk -v limit="$1" 'length($0) > limit { print FILENAME ":" FNR ": " length($0) " columns"; bad = 1 }
        /[ \t]$/ { print FILENAME ":" FNR ": blank at the end of the line"; bad = 1 }
        END { exit bad }' "$2"
}

for file in $(sources '*.c' '*.h'); do
    check "clang-format $file" clang-format --dry-run -Werror "$file"
    check "line length $file" no_tabs_or_long_lines 100 "$file"
done
for file in $(sources '*.asm' '*.inc' '*.py' '*.sh'); do
    check "line length $file" no_tabs_or_long_lines 120 "$file"
done
for file in $(kernel_c); do
    check "clang-tidy $file" tidy "$LINT_CFLAGS" "$file"
done
for file in $(host_c); do
    check "clang-tidy $file" tidy "$HOST_CFLAGS" "$file"
done
check "includes" /usr/bin/python3 tools/includes.py
# One run for all: cppcheck wants to see the calls from file to file. Its list of what it does not look for:
#   unusedFunction         a library offers more than one program calls
#   missingIncludeSystem   freestanding headers are the compiler's own
#   -UGRANARY_PORT         names a header of somebody else's kernel
# shellcheck disable=SC2046,SC2086
check "cppcheck" cppcheck --quiet --error-exitcode=1 --enable=warning,style,performance,portability --inline-suppr \
    --std=c11 --platform=unix32 --suppress=missingIncludeSystem -UGRANARY_PORT $CPPCHECK_FLAGS $(kernel_only_c)
for file in $(sources '*.sh') .ci/run; do
    check "shellcheck $file" shellcheck "$file"
done
for file in $(sources '*.py'); do
    check "python $file" /usr/bin/python3 -W error -c 'import ast, sys; ast.parse(open(sys.argv[1]).read())' "$file"
done

echo "lint: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
