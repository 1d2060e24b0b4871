#!/bin/sh
# newlib.sh - configures and builds newlib, and puts its headers and libraries into TO/i686-elf.
#
#   CC=... CFLAGS=... TOOLS=prefix sh tools/ports/newlib.sh SOURCE TO
#
# Of newlib itself, not of its copy of GNU's configure for whole tool chains: for that the system would need a compiler
# by the name i686-elf-gcc. Without an allocator (user/newlib/heap.c has it) and without system calls
# (user/newlib/calls.c). printf() of a long double is left out: with it newlib prints no double of 40 digits exactly, as
# Lua may ask. What it prints is kept in TO/log; of a failure the end is shown.
set -eu
source=$(cd "$1" && pwd)
rm -rf "$2"
mkdir -p "$2/work"
to=$(cd "$2" && pwd)

build() {
    "$source/newlib/configure" --build="$(uname -m)-pc-linux-gnu" --host=i686-elf --prefix="$to" --disable-multilib \
        --disable-newlib-supplied-syscalls --enable-newlib-io-long-long --enable-newlib-io-c99-formats \
        --disable-newlib-multithread CC="$CC" AR="${TOOLS}ar" RANLIB="${TOOLS}ranlib" AS="${TOOLS}as" \
        CFLAGS="$CFLAGS -DMALLOC_PROVIDED" CCASFLAGS="$CFLAGS" &&
        make -j"$(nproc)" && make install
}

cd "$to/work"
# The make that calls this has variables of its own.
unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES
if ! build >"$to/log" 2>&1; then
    tail -n 20 "$to/log" >&2
    echo "newlib: it cannot be built; all it said is in $to/log" >&2
    exit 1
fi
rm -rf "$to/work"
