#!/bin/sh
# Installs the host programs that baking needs, on Debian and its kin; elsewhere
# says which are missing. host-tools.sh tests: also what only the tests need;
# host-tools.sh bench: what only the benchmarks need.
set -eu

missing=
need() { command -v "$1" >/dev/null || missing="$missing $2"; }
need debootstrap debootstrap
need mke2fs e2fsprogs
need sfdisk fdisk
need blkid util-linux
need mkfs.xfs xfsprogs
need mkfs.btrfs btrfs-progs
need mkfs.vfat dosfstools
need qemu-img qemu-utils
need dpkg-deb dpkg
if [ "${1:-}" = tests ]; then
	need busybox busybox-static
	need rpmbuild rpm
	need getfattr attr
	need xmllint libxml2-utils
	need sshd openssh-server
	need systemd-nspawn systemd-container
	need sudo sudo
	need curl curl
	need jq jq
	need chromium chromium
	need dot graphviz
	need ip iproute2
fi
if [ "${1:-}" = bench ]; then
	need serverspec-init ruby-serverspec
	need sshd openssh-server
fi
[ -z "$missing" ] && exit 0

if ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
	echo "These packages are missing:$missing. Install them, or run as root on Debian." >&2
	exit 1
fi
echo "Installing$missing..."
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# shellcheck disable=SC2086 # a list of packages
apt-get install -qq -y --no-install-recommends $missing >/dev/null
