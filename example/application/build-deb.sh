#!/bin/sh
# Builds the shop's package: build-deb.sh VERSION FILE
set -eu
version=${1:?usage: build-deb.sh VERSION FILE}
out=${2:?usage: build-deb.sh VERSION FILE}
here=$(dirname "$0")

tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
cp -R "$here/shop/." "$tree"
sed -i "s/^Version:.*/Version: $version/" "$tree/DEBIAN/control"
sed -i "s/@VERSION@/$version/" "$tree/usr/bin/shop"
mkdir -p "$(dirname "$out")"
dpkg-deb --root-owner-group --build "$tree" "$out"
