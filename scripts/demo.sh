#!/bin/sh
# The main job, from nothing to a tested application image: foundation, base
# and application are baked by the real Packer on the local cloud.
set -eu
cd "$(dirname "$0")/.."
root=$PWD
bin=$root/bin
PATH=$bin:$PATH

if [ "$(uname -s)" != Linux ] || [ "$(id -u)" != 0 ]; then
	echo "make demo mounts disks: run it as root on Linux." >&2
	exit 1
fi

export BAKERY_HOME="${BAKERY_HOME:-${XDG_DATA_HOME:-${HOME:-/root}/.local/share}/bakery}"
export BAKERY_CLOUD=local
export PACKER_PLUGIN_PATH="$bin/plugins"
export CHECKPOINT_DISABLE=1

step=0
say() {
	step=$((step + 1))
	if [ -t 1 ]; then
		printf '\n\033[1m%d. %s\033[0m\n' "$step" "$1"
	else
		printf '\n%d. %s\n' "$step" "$1"
	fi
}

say "Tools: Packer, the plugin, file system programs"
scripts/host-tools.sh
make --no-print-directory release

for story in foundation base application; do
	packer init "example/$story"
done

rootfs=$bin/cache/debian-bookworm
say "A Debian disk, imported as the image to start from"
scripts/rootfs.sh "$rootfs"
if bakery local ls --output json | grep -q '"debian-bookworm-import-1"'; then
	echo "It is there from an earlier run."
else
	bakery local import "$rootfs" --name debian-bookworm-import-1 --size 2GiB
fi

version=1.4.$(date -u +%Y%m%d%H%M%S)

say "The foundation: a bare Debian, tested"
if bakery images ls --application foundation --status tested --output json | grep -q '"id"'; then
	echo "A tested one is there from an earlier run."
else
	packer build -color=false example/foundation
fi

say "The base, on the newest tested foundation"
packer build -color=false -var "version=$version" example/base

say "The application, on the newest tested base"
deb=$bin/shop_$version.deb
example/application/build-deb.sh "$version" "$deb"
packer build -color=false -var "version=$version" -var "package=$deb" example/application
rm -f "$deb"

say "What there is now"
bakery images tree
echo
image=$(bakery images ls --application shop --limit 1 --output json |
	sed -n '/"artifacts"/,/]/s/.*"image_id": "\(.*\)".*/\1/p' | head -n 1)
bakery images show "$image"

disk=$BAKERY_HOME/shop.raw
bakery local export "$image" "$disk" --force
cat <<END

The disk of the newest application image: $disk
Its reports: reports/base.xml, reports/shop.xml
The local cloud and the registry: $BAKERY_HOME

To go on by hand:
  eval "$(make -s env)"
  bakery images tree

A package of your own: docs/getting-started.md
END
