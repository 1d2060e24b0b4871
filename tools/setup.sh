#!/bin/sh
# setup.sh - installs what Granary needs from Debian's packages, and nothing else. Needs neither make nor Python.
#
#   sh tools/setup.sh run              installs what a boot needs, builds, boots (make run)
#   sh tools/setup.sh test             installs what the tests need, runs them all (make test)
#   sh tools/setup.sh                  installs both, runs nothing
#   sh tools/setup.sh --only LIST...   installs what these jobs need: run bochs debug test lint bench proof web gui
#                                      libc all
#   sh tools/setup.sh --check NAME...  installs nothing: one line and status 1 if something of a list, or a command or
#                                      package of the table, is missing (make uses it)
#
# Looks at what is missing, installs only that, as root or through sudo, and is silent when nothing is missing.
# Recommended packages are left out. Nothing is removed: gcc-multilib and gcc-i686-linux-gnu exclude each other,
# so the lists name one of them, and apt stops where the other is installed.
set -eu

# One line for each need (tools/cli.py reads them, too): lists; how its presence is seen; packages; why.
#
#   presence   a command, a function below (it has a _ in its name), py:MODULE of Python, or `-`: the packages
#   packages   one of the alternatives a|b, several with a,b. `%` is a release's number: the newest that all the names
#              with it have. A `?` at the end: a system without it gets a line and goes on. src:NAME: a source package.
#              in:RELEASE:NAME: the files of another release's package, in a folder of their own, not installed.
needs='
run             make                  make                            the build
run             python_3              python3                         image maker, runner, the tools
run             nasm                  nasm                            boot sector, loader, the entries of the kernel
run             compiler_for_32_bits  gcc-i686-linux-gnu              the kernel; smaller than gcc, needs no C library
run             qemu-system-i386      qemu-system-x86                 the emulator of make run
bochs,bench     bochs                 bochs,bochsbios,vgabios,bochs-x  make bochs and bochs-debug, tours, its window
debug,web       gdb                   gdb                             make debug, make rewind, tours, make web
debug           qemu-img              qemu-utils                      make rewind: the disk of a recorded run
debug           programs_of_32_bits   qemu-user                       GDB: heap commands, where Linux starts none
test,libc       gcc                   gcc                             unit tests, libgranary, the recorder
test            g++                   g++                             a program in C++ on libgranary
test,libc       -                     libc6-dev                       headers for these
test            i686-linux-gnu-gcc    gcc-i686-linux-gnu              libraries for programs of 32 bits
test            -                     libc6-dev-i386-cross            its C library
test            git                   git                             a program that runs on libgranary
test            -                     libcmocka-dev                   unit tests
test,bench      clang                 clang                           the fuzzers; a second compiler for the kernel
test            -                     libclang-rt-dev                 their sanitizers
test            py:pytest             python3-pytest                  tests from outside
test            py:xdist              python3-pytest-xdist            two of them at a time
test,libc       py:pexpect            python3-pexpect                 sessions at a prompt
test            sqlite3               sqlite3                         a program that runs on libgranary
test            perl                  perl                            another one
test,libc       xz                    xz-utils                        recorded traces
test            Xvfb                  xvfb                            the window of Bochs without a display
test,bench      py:matplotlib         python3-matplotlib              pictures: make pictures, make bench
test,bench      ld.lld                lld                             a threaded program on each allocator
test,bench      redis-check-rdb       redis-tools                     another one: the server, but no service
test,bench      valgrind              valgrind                        instructions counted on the host
test,bench      -                     libmimalloc%?                   an allocator to compare with
test,bench      -                     libjemalloc2?                   another one
test,bench      -                     libtcmalloc-minimal%?           another one
bench           -                     libmimalloc2.0|in:bookworm:libmimalloc2.0?  both that have been in a release
bench           -                     libmimalloc3|in:trixie:libmimalloc3?        likewise
web             node                  nodejs                          make v86, make web: an emulator in WebAssembly
web             npm                   npm                             fetches v86 and what the page is built with, once
web             chromium              chromium                        tests of the page
web             -                     fonts-noto-cjk?                 Chinese in the pictures of the tests
web             -                     ca-certificates                 as npm does, by https
web             -                     seabios                         the firmware that v86 gets
gui             -                     qemu-system-gui                 make run GUI=1: a window with the screen
libc            -                     newlib-source                   make programs: a C library for ring 3
libc            lua_source            src:lua5.4                      make programs: an interpreter
libc            tcc_source            src:tcc                         make programs: a compiler, which compiles itself
libc            bzip2                 bzip2                           the archive of tcc
libc            lua5.4                lua5.4                          what its scripts print is compared with
lint            clang-format          clang-format                    layout of C
lint            clang-tidy            clang-tidy                      analysis of C
lint            cppcheck              cppcheck                        a second analysis
lint            shellcheck            shellcheck                      shell scripts
lint            ctags                 universal-ctags                 make stats
proof           clang_with_mcdc       clang-19,llvm-19,libclang-rt-19-dev|clang-%,llvm-%,libclang-rt-%-dev  coverage
proof           afl-clang-fast        afl++                           make fuzz-afl
proof           frama-c               frama-c-base?                   make formal
proof           why3                  why3?                           how it asks provers
proof           z3                    z3                              a prover
proof           -                     cvc4|cvc5?                      provers of its goals
proof           spin                  spin                            make model
proof           debootstrap           debootstrap                     make fresh: minimal systems
proof           -                     libpython%-testsuite            make cpython
'

usage='usage: sh tools/setup.sh [run | test | --only LIST... | --check NAME...]'
lists='run bochs debug test lint bench proof web gui libc all'

die() {
    echo "setup: $*" >&2
    exit 1
}

has() { # has COMMAND
    command -v "$1" >/dev/null 2>&1
}

python_3() { # make hands over its PYTHON, and its CC
    has "${PYTHON:-/usr/bin/python3}"
}

# As tools/mk/toolchain.mk chooses.
compiler_for_32_bits() {
    if [ -n "${CC-}" ] && [ "$CC" != gcc ]; then has "${CC%% *}" && return; fi
    has i686-elf-gcc || has i686-linux-gnu-gcc ||
        { has gcc && echo | gcc -m32 -ffreestanding -x c -c -o /dev/null - 2>/dev/null; }
}

# A program of 32 bits that ends at once: is it started? If not, QEMU's user mode does that.
programs_of_32_bits() {
    has qemu-i386 && return
    has mktemp || return 0 # it cannot be tried
    program=$(mktemp) || return
    {
        printf '\177ELF\1\1\1\0\0\0\0\0\0\0\0\0\2\0\3\0\1\0\0\0\124\200\4\10\64\0\0\0\0\0\0\0\0\0\0\0'
        printf '\64\0\40\0\1\0\0\0\0\0\0\0' # the header's end; one segment, at 0x08048000
        printf '\1\0\0\0\0\0\0\0\0\200\4\10\0\200\4\10\133\0\0\0\133\0\0\0\5\0\0\0\0\20\0\0'
        printf '\61\300\100\61\333\315\200' # exit(0)
    } >"$program"
    chmod +x "$program"
    started=0
    "$program" 2>/dev/null || started=$?
    rm -f "$program"
    return "$started"
}

# And llvm's own tools of the same number, which read what it counted.
clang_with_mcdc() {
    for number in $(echo "$installed" | sed -n 's/^clang-\([0-9]*\)$/\1/p'); do
        if has "llvm-cov-$number" && "clang-$number" -fprofile-instr-generate -fcoverage-mapping -fcoverage-mcdc \
            -E -x c /dev/null >/dev/null 2>&1; then return; fi
    done
    return 1
}

sources=${GRANARY_SOURCES:-/usr/src/granary} # where src:NAME goes: a package's source, upstream's archive as it is
others=${GRANARY_OTHERS:-/usr/local/lib/granary} # where in:RELEASE:NAME goes: its files, in a folder RELEASE

there() { # there FILE...: a pattern that matched
    [ -e "$1" ]
}

lua_source() { there "$sources"/lua5.4_*.orig.tar.*; }
tcc_source() { there "$sources"/tcc_*.orig.tar.*; }

installed='' # names between newlines; so is `known`: installed or offered
known=''
newline='
'

look_at_packages() {
    has dpkg-query || return 0
    # "ii": wanted and installed. A removed package whose settings were kept is known to dpkg too, as "rc".
    installed="$newline$(dpkg-query -W -f='${db:Status-Abbrev}${Package}\n' | sed -n 's/^ii *//p')$newline"
    for copyright in "$others"/*/usr/share/doc/*/copyright; do
        [ -e "$copyright" ] || break
        name=${copyright%/copyright} release=${copyright#"$others"/}
        installed="${installed}in:${release%%/*}:${name##*/}$newline"
    done
}

# What is in another release is known when it is asked for.
look_at_offers() {
    known="$installed$(echo "$needs" | grep -o 'in:[^|? ]*' | sort -u)$newline"
    if has apt-cache; then known="$newline$(apt-cache pkgnames)$known"; fi
}

# all_in SET NAME...: every name is in it.
all_in() {
    set_of_names=$1
    shift
    for name in "$@"; do
        case "$name" in src:*) continue ;; esac # known when it is asked for
        case "$set_of_names" in *"$newline$name$newline"*) ;; *) return 1 ;; esac
    done
}

# with_number SET A,B,...: the names, `%` replaced by the newest number with which all of them are in the set.
with_number() {
    names=$(echo "$2" | tr , ' ')
    case "$names" in *%*) ;; *) echo "$names" && return ;; esac
    first="${2%%,*}" # it has the number, if any has
    for number in $(echo "$1" | sed -n "s/^${first%\%*}\([0-9][0-9a-z.]*\)${first#*%}\$/\1/p" | sort -rV); do
        # The names are words.
        # shellcheck disable=SC2046
        if all_in "$1" $(echo "$names" | sed "s/%/$number/g"); then
            echo "$names" | sed "s/%/$number/g"
            return
        fi
    done
    echo "$names"
}

# present PRESENCE PACKAGES
present() {
    case "$1" in
        -) ;;
        py:*)
            python_3 && "${PYTHON:-/usr/bin/python3}" -c "import importlib.util, sys
sys.exit(not importlib.util.find_spec('${1#py:}'))"
            return
            ;;
        *_*) "$1" && return || return 1 ;;
        *) has "$1" && return || return 1 ;;
    esac
    [ -n "$installed" ] || [ "$job" != --check ] || return 0
    for choice in $(echo "${2%\?}" | tr '|' ' '); do
        # shellcheck disable=SC2046
        if all_in "$installed" $(with_number "$installed" "$choice"); then return; fi
    done
    return 1
}

# each_need NAMES FUNCTION: FUNCTION PACKAGES WHY LISTS for each need with one of these names (of a list, a command, a
# package) that the system lacks.
each_need() {
    while read -r of presence packages why; do
        case "$of" in '') continue ;; esac
        wanted=no
        for name in all "$presence" $(echo "$of $packages" | tr ',|?' '   '); do
            case " $1 " in *" $name "*) wanted=yes ;; esac
        done
        [ $wanted = no ] || present "$presence" "$packages" || "$2" "$packages" "$why" "$of"
    done <<NEEDS
$needs
NEEDS
}

missing=''  # words for apt: what can be had
cannot=''   # what cannot, though it must
optional='' # what cannot, and need not

sort_out() { # sort_out PACKAGES WHY: into one of the three
    [ -n "$known" ] || look_at_offers
    for choice in $(echo "${1%\?}" | tr '|' ' '); do
        names=$(with_number "$known" "$choice")
        # shellcheck disable=SC2086
        if all_in "$known" $names; then
            case "$missing " in *" $names "*) ;; *) missing="$missing $names" ;; esac
            return
        fi
    done
    case "$1" in
        *\?) optional="$optional${newline}setup: this system has no $names ($2)" ;;
        *) cannot="$cannot $names" ;;
    esac
}

sort_out_all() {
    missing='' cannot='' optional='' known=''
    look_at_packages
    each_need "$1" sort_out
}

become_root() {
    as_root=''
    [ "$(id -u)" -ne 0 ] || return 0
    has sudo || die "missing:$missing$cannot; run this as root, or install sudo"
    sudo -v || die "sudo refused; run this as root. Missing:$missing$cannot"
    as_root=sudo
}

apt() { # --no-remove: a gcc-multilib of the user's is not taken away without a word
    # shellcheck disable=SC2086
    $as_root env DEBIAN_FRONTEND=noninteractive LC_ALL=C apt-get -q --no-install-recommends --no-remove "$@"
}

# Where this system's packages come from, as apt's lines for their sources.
source_lines() {
    for key in /usr/share/keyrings/debian-archive-keyring.gpg /usr/share/keyrings/debian-archive-keyring.pgp; do
        [ ! -e "$key" ] || break
    done
    # What is in the dollars is apt's.
    # shellcheck disable=SC2016
    apt-get indextargets --format '$(ORIGIN) $(REPO_URI) $(RELEASE)' 'Created-By: Packages' 'Component: main' |
        sed -n "s|^Debian \\([^ ]*\\) \\([^ ]*\\)\$|deb-src [signed-by=$key] \\1 \\2 main|p" | sort -u
}

# with_lists EXPRESSION: for apt_apart, a folder with lists of its own, which goes again: the system's stay as they are.
# EXPRESSION is sed's, for source_lines.
with_lists() {
    [ -n "${work-}" ] || work=$(mktemp -d)
    trap '$as_root rm -rf "$work"' EXIT # root's files are in it
    chmod 755 "$work"
    mkdir -p "$work/lists/partial"
    source_lines | sed -n "$1" | sort -u >"$work/sources.list"
    [ -s "$work/sources.list" ]
}

fetch_sources() { # fetch_sources NAME...
    with_lists p || die "apt-get names no archive of Debian's to get the source of $* from"
    $as_root mkdir -p "$sources"
    (cd "$sources" && apt_apart update && apt_apart --download-only --tar-only source "$@") ||
        die "apt-get could not get the source of $*; what stopped it is above${offline:+ ($offline)}"
}

# From where this system's release is, too; what its updates come from has a `-` in its name.
fetch_other() { # fetch_other RELEASE NAME
    if with_lists "s|^deb-src \\(.*\\) [a-z]* main\$|deb \\1 $1 main|p" && cd "$work" && apt_apart update &&
        apt_apart download "$2" && $as_root mkdir -p "$others/$1" && $as_root dpkg-deb -x "$2"_*.deb "$others/$1"; then
        return
    fi
    echo "setup: could not get $2 of Debian's release $1; what stopped it is above${offline:+ ($offline)}"
}

apt_apart() {
    apt -o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts=- -o Dir::State::lists="$work/lists" \
        -o APT::Sandbox::User=root "$@"
}

install_missing() {
    names='' from_source='' from_others=''
    for name in $missing; do
        case "$name" in
            src:*) from_source="$from_source ${name#src:}" ;;
            in:*) from_others="$from_others ${name#in:}" ;;
            *) names="$names $name" ;;
        esac
    done
    [ -z "$names" ] || install_packages "$names"
    # shellcheck disable=SC2086
    [ -z "$from_source" ] || fetch_sources $from_source
    for name in $from_others; do (fetch_other "${name%%:*}" "${name#*:}"); done
}

install_packages() {
    missing=$1
    # shellcheck disable=SC2086
    sizes=$(apt --print-uris install $missing 2>/dev/null | sed -n \
        -e 's/^Need to get \([^/]*\).* of archives.*/\1 to download/p' \
        -e 's/^After this operation, \(.*\) of additional.*/, \1 on the disk/p' |
        tr -d '\n')
    echo "setup: installing$missing${sizes:+: $sizes}"
    # shellcheck disable=SC2086
    apt -y install $missing || die "apt-get could not install$missing; what stopped it is above${offline:+ ($offline)}"
}

# install LISTS
install() {
    sort_out_all "$1"
    [ -n "$missing$cannot" ] || [ "$known" = "$installed" ] || [ -z "$optional" ] || echo "${optional#?}"
    [ -n "$missing$cannot" ] || return 0
    has apt-get || die "this is not Debian. Install by hand what these packages of Debian hold:$missing$cannot"
    become_root
    offline=''
    apt -o APT::Update::Error-Mode=any update || offline='and apt-get update failed: is there a network?'
    sort_out_all "$1"
    [ -z "$cannot" ] || die "this system has no package$cannot${offline:+, $offline}"
    [ -z "$optional" ] || echo "${optional#?}"
    [ -z "$missing" ] || install_missing
    echo "setup: done"
}

# check NAMES: for make. What need not be there is not asked for, nor are packages where there are none.
check() {
    look_at_packages
    asked=''
    each_need "$1" note_missing
    [ -z "$missing" ] || die "missing:$missing; \`sh tools/setup.sh --only$asked\` installs it"
}

note_missing() { # note_missing PACKAGES WHY LISTS
    case "$1" in *\?) return 0 ;; esac
    missing="$missing $(echo "${1%%|*}" | sed 's/,/ /g; s/%/N/g')"
    case "$asked " in *" ${3%%,*} "*) ;; *) asked="$asked ${3%%,*}" ;; esac
}

# with_implied LIST...: every job builds and boots; the tests look at the debuggers as well.
with_implied() {
    for list in "$@"; do
        case " $lists " in *" $list "*) ;; *) die "no list '$list'; there are: $lists" ;; esac
    done
    case " $* " in *' test '*) wanted_lists="$* run bochs debug" ;; *) wanted_lists="$* run" ;; esac
}

cd "$(dirname "$0")/.."
job="${1-}"
[ $# -eq 0 ] || shift
case "$job $#" in
    ' 0') with_implied run test && install "$wanted_lists" ;;
    'run 0' | 'test 0') with_implied "$job" && install "$wanted_lists" && make -s -j"$(nproc)" && exec make "$job" ;;
    '--only 0' | '--check 0') echo "$usage" >&2 && exit 2 ;;
    --only*) with_implied "$@" && install "$wanted_lists" ;;
    --check*) check "$*" ;;
    *) echo "$usage" >&2 && exit 2 ;;
esac
