#!/bin/sh
# Makes a Debian root file system once: rootfs.sh DIR
# DEBIAN_MIRROR names another mirror than debootstrap's own.
set -eu
dir=${1:?usage: rootfs.sh DIR}
[ -e "$dir.complete" ] && exit 0

echo "Making a Debian bookworm root file system in $dir (once; about a minute)..."
rm -rf "$dir"
mkdir -p "$(dirname "$dir")"
# shellcheck disable=SC2086 # no mirror is no argument
debootstrap --variant=minbase --include=systemd-sysv,tzdata bookworm "$dir" ${DEBIAN_MIRROR:-}
: >"$dir.complete"
