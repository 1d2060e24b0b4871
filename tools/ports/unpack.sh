#!/bin/sh
# unpack.sh - unpacks upstream's own source of a program, as Debian's registry has it: nothing of it is changed.
#
#   sh tools/ports/unpack.sh ARCHIVE... TO    the newest of the archives; a folder around everything is left out
set -eu

die() {
    echo "unpack: $*" >&2
    exit 1
}

[ $# -ge 2 ] || die "usage: sh tools/ports/unpack.sh ARCHIVE... TO"
for last in "$@"; do to=$last; done
archive=$(for name in "$@"; do [ "$name" = "$to" ] || echo "$name"; done | sort -V | tail -n 1)
[ -f "$archive" ] || die "$archive: there is none; \`sh tools/setup.sh --only libc\` brings it"
rm -rf "$to" "$to.new"
mkdir -p "$to.new"
tar -xf "$archive" -C "$to.new" || die "$archive cannot be unpacked"
inside=$(ls -A "$to.new")
if [ -d "$to.new/$inside" ]; then
    mv "$to.new/$inside" "$to" && rmdir "$to.new"
else
    mv "$to.new" "$to"
fi
