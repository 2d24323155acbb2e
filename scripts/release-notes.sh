#!/bin/sh
# Prints what CHANGELOG.md says of a version; fails when that is nothing, when
# the version is not yet dated, or when it is not the one of the source tree.
# release-notes.sh VERSION
set -eu
cd "$(dirname "$0")/.."
version=${1:?usage: release-notes.sh VERSION}
version=${version#v}

tree=$(sed -n 's/^\tVersion = "\(.*\)"/\1/p' version/version.go)
if [ "$tree" != "$version" ]; then
	echo "version/version.go says $tree, not $version." >&2
	exit 1
fi
heading=$(grep -m 1 -F "## $version (" CHANGELOG.md || true)
case $heading in
"")
	echo "CHANGELOG.md has no section ## $version (DATE)." >&2
	exit 1
	;;
*"(unreleased)"*)
	echo "CHANGELOG.md calls $version unreleased: give it its date." >&2
	exit 1
	;;
esac
notes=$(awk -v heading="$heading" '$0 == heading { on = 1; next } on && /^## / { exit } on' CHANGELOG.md)
if [ -z "$(printf %s "$notes" | tr -d '[:space:]')" ]; then
	echo "CHANGELOG.md says nothing of $version." >&2
	exit 1
fi
printf '%s\n' "$notes"
