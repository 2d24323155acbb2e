#!/bin/sh
# Makes sure that a Packer of at least MINIMUM is on PATH: packer.sh BIN MINIMUM
# When there is none, the pinned one is built into BIN, which takes some minutes
# once. Callers have BIN in front of their PATH.
set -eu
bin=${1:?usage: packer.sh BIN MINIMUM}
minimum=${2:?usage: packer.sh BIN MINIMUM}

if command -v packer >/dev/null && have=$(packer version 2>/dev/null | sed -n 's/^Packer v\([0-9.]*\).*/\1/p') && [ -n "$have" ]; then
	if [ "$(printf '%s\n' "$minimum" "$have" | sort -V | head -n 1)" = "$minimum" ]; then
		exit 0
	fi
	echo "packer on PATH is $have, older than $minimum"
fi
echo "Building Packer into $bin (once; some minutes)..."
mkdir -p "$bin"
cd "$(dirname "$0")/../tools/packer"
go build -trimpath -buildvcs=false -ldflags "-s -w" -o "$bin/packer" github.com/hashicorp/packer
"$bin/packer" version
