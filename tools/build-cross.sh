#!/bin/sh
# build-cross.sh - builds binutils and gcc for i686-elf from Debian's source packages.
#
#   sh tools/build-cross.sh [--prefix DIR] [--work DIR]
#
#   --prefix DIR   where the toolchain goes           (default: ~/.local/i686-elf)
#   --work DIR     where it is built, about 2 GB      (default: build/cross)
#
# C only, no headers, no C library, no libgcc: what this kernel needs and nothing else. About 25
# minutes on two cores. A stage that is finished is not done again: after an interruption, run it once more.
# Afterwards, with DIR/bin on the PATH, `make` takes i686-elf-gcc by itself.
set -eu

target=i686-elf
prefix=$HOME/.local/i686-elf
work=build/cross

usage() {
    echo "usage: sh tools/build-cross.sh [--prefix DIR] [--work DIR]" >&2
    exit 2
}

while [ $# -gt 0 ]; do
    [ $# -ge 2 ] || usage
    case $1 in
    --prefix) prefix=$2 ;;
    --work) work=$2 ;;
    *) usage ;;
    esac
    shift 2
done

say() { echo "build-cross: $*"; }

die() {
    say "$*" >&2
    exit 1
}

# ---- the packages with the sources, and what the builds need -----------------------------------------

# The number is that of the release's own compiler.
gcc=gcc-$(apt-cache depends gcc 2>/dev/null | sed -n 's/.*Depends: gcc-\([0-9]*\)$/\1/p' | head -n 1)
[ "$gcc" != gcc- ] || die "apt-cache knows no gcc: this builds from Debian's packages, after an apt-get update"
packages="binutils-source $gcc-source libgmp-dev libmpfr-dev libmpc-dev gcc g++ make bison flex texinfo xz-utils"

install_packages() {
    missing=
    for package in $packages; do
        dpkg -s "$package" >/dev/null 2>&1 || missing="$missing $package"
    done
    [ -n "$missing" ] || return 0
    say "installs$missing"
    as_root=
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || die "needs root or sudo to install$missing"
        as_root=sudo
    fi
    # The list is words.
    # shellcheck disable=SC2086
    $as_root apt-get update -qq && $as_root apt-get install -y -qq --no-install-recommends $missing >/dev/null
}

check_space() {
    free=$(df -Pk "$work" | awk 'NR == 2 { print int($4 / 1024) }')
    [ "$free" -ge 3000 ] || die "$work has $free MB free; the build takes about 3000"
}

# ---- the stages: each leaves a stamp ---------------------------------------------------------------------

# stage NAME COMMAND...: runs it in the work folder unless its stamp is there; its output goes to NAME.log.
stage() {
    name=$1
    shift
    [ ! -e "$work/$name.done" ] || return 0
    say "$name ..."
    if ! (cd "$work" && "$@") >"$work/$name.log" 2>&1; then
        tail -20 "$work/$name.log" >&2
        die "$name failed; all of its output is in $work/$name.log"
    fi
    touch "$work/$name.done"
}

unpack() { # unpack TARBALL FOLDER
    [ -e "$1" ] || { echo "no $1"; return 1; }
    rm -rf "$2" && mkdir "$2" && tar -xf "$1" -C "$2" --strip-components=1
}

configure_binutils() {
    rm -rf binutils-build && mkdir binutils-build && cd binutils-build
    ../binutils/configure --target=$target --prefix="$prefix" --with-sysroot --disable-nls --disable-werror \
        --disable-gdb --disable-sim --disable-gprofng MAKEINFO=true
}

make_binutils() {
    make -C binutils-build -j"$jobs" MAKEINFO=true && make -C binutils-build install MAKEINFO=true
}

configure_gcc() {
    rm -rf gcc-build && mkdir gcc-build && cd gcc-build
    PATH=$prefix/bin:$PATH ../gcc/configure --target=$target --prefix="$prefix" --disable-nls \
        --enable-languages=c --without-headers --disable-bootstrap MAKEINFO=true
}

# Debian's tarball lacks the texts under the GNU Free Documentation License, and `tm.texi` is made from
# one of them; its stamp keeps make from trying.
make_gcc() {
    export PATH="$prefix/bin:$PATH"
    make -C gcc-build -j"$jobs" configure-gcc MAKEINFO=true
    touch gcc-build/gcc/s-tm-texi
    make -C gcc-build -j"$jobs" all-gcc MAKEINFO=true
    touch gcc-build/gcc/s-tm-texi
    make -C gcc-build install-gcc MAKEINFO=true
}

install_packages
mkdir -p "$work" "$prefix" || die "cannot make $work and $prefix"
work=$(cd "$work" && pwd)
prefix=$(cd "$prefix" && pwd)
check_space
jobs=$(nproc)
start=$(date +%s)

binutils_tar=$(find /usr/src/binutils -name 'binutils-*.tar.xz' | head -1)
gcc_tar=$(find "/usr/src/$gcc" -name 'gcc-*.tar.xz' | head -1)
stage unpack-binutils unpack "$binutils_tar" binutils
stage configure-binutils configure_binutils
stage make-binutils make_binutils
stage unpack-gcc unpack "$gcc_tar" gcc
stage configure-gcc configure_gcc
stage make-gcc make_gcc

say "$("$prefix/bin/$target-gcc" --version | head -1)"
say "$("$prefix/bin/$target-ld" --version | head -1)"
say "done after $((($(date +%s) - start) / 60)) minutes; add it to the PATH: PATH=$prefix/bin:\$PATH"
