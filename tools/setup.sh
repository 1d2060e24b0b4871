#!/bin/sh
# setup.sh - installs what Granary needs from Debian's packages, and nothing else.
#
#   sh tools/setup.sh            all that `make test` and `make bench` need
#   sh tools/setup.sh --proof    and what the longer proofs need: make coverage, make formal, make fuzz-afl
#
# Looks which packages are missing and installs only these, as root or through sudo; says what it does, and is
# silent and quick when nothing is missing. Debian 12 is what the project is tested on.
#
# Not in the list, on purpose: gcc-multilib. It conflicts with gcc-i686-linux-gnu, so apt would take the one away
# to install the other. `gcc -m32 -ffreestanding` needs lib32gcc-12-dev only (the 32-bit libgcc).
#
# Recommended packages are left out, so what we rely on is named here itself: libc6-dev for host programs,
# libclang-rt-dev for the sanitizers and the fuzzer, bochs-x for the window of Bochs (xvfb to test it
# without a display). The last line is `make bench`'s: the allocators it measures beside ours, the plots, the counts.
set -eu

packages='
    make git gcc g++ libc6-dev libc6-dev-i386-cross gcc-i686-linux-gnu binutils-i686-linux-gnu lib32gcc-12-dev nasm
    qemu-system-x86 qemu-utils seabios bochs bochs-x bochsbios vgabios gdb
    python3 python3-pytest python3-pytest-xdist python3-pexpect
    sqlite3 perl
    libcmocka-dev clang libclang-rt-dev clang-format clang-tidy cppcheck shellcheck universal-ctags xz-utils
    xvfb
    libmimalloc2.0 libjemalloc2 libtcmalloc-minimal4 python3-matplotlib valgrind
'

proof='
    clang-19 llvm-19 libclang-rt-19-dev afl++ frama-c-base why3 z3 cvc4 spin libpython3.11-testsuite
'
case "${1-}" in
    '') ;;
    --proof) packages="$packages $proof" ;;
    *)
        echo "usage: sh tools/setup.sh [--proof]" >&2
        exit 2
        ;;
esac

# For v86. Somebody who has Node from elsewhere keeps it: Debian's npm would bring Debian's nodejs along.
command -v npm >/dev/null 2>&1 || packages="$packages nodejs npm"

if ! command -v dpkg-query >/dev/null 2>&1; then
    echo "setup: this is not Debian. Install by hand what these Debian packages hold:" >&2
    echo "$packages" >&2
    exit 1
fi

missing=''
for package in $packages; do
    # "ii": wanted and installed. A removed package whose settings were kept is known to dpkg too, as "rc".
    case "$(dpkg-query -W -f='${db:Status-Abbrev}' "$package" 2>/dev/null || true)" in
        ii*) ;;
        *) missing="$missing $package" ;;
    esac
done
[ -n "$missing" ] || exit 0

as_root=''
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null 2>&1; then
        echo "setup: missing:$missing" >&2
        echo "setup: run this as root, or install sudo" >&2
        exit 1
    fi
    as_root='sudo'
fi

echo "setup: installing$missing"
$as_root env DEBIAN_FRONTEND=noninteractive apt-get update -q
# --no-remove: somebody's own gcc-multilib is not taken away without a word. The list is split on purpose.
# shellcheck disable=SC2086
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends --no-remove $missing || {
    echo "setup: apt-get could not install$missing (see above; gcc-multilib has to go first)" >&2
    exit 1
}
echo "setup: done"
