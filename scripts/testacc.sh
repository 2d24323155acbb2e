#!/bin/sh
# The end-to-end tests: the examples under the real packer binary, on a local
# cloud of their own. testacc.sh COUNT
set -eu
cd "$(dirname "$0")/.."
bin=$PWD/bin
export PATH="$bin:$PATH"
export PACKER_PLUGIN_PATH="$bin/plugins"
export CHECKPOINT_DISABLE=1

scripts/host-tools.sh tests
make --no-print-directory release
scripts/rootfs.sh "$bin/cache/debian-bookworm"

export PACKER_ACC=1
export BAKERY_TEST_ROOTFS="$bin/cache/debian-bookworm"
export BAKERY_TEST_PACKER="$(command -v packer)"
export BAKERY_TEST_BAKERY="$bin/bakery"
export BAKERY_TEST_AMAZON_PLUGIN="$bin/packer-plugin-amazon"
[ -x "$bin/goreleaser" ] && export BAKERY_TEST_GORELEASER="$bin/goreleaser"
# The tests of the sandbox and of the checks run again, on a whole Debian now.
gotestsum --format testname -- -count "${1:-1}" -timeout 40m ./e2e/...
gotestsum --format pkgname -- -count "${1:-1}" -timeout 20m ./internal/sandbox/... ./internal/check/... ./internal/goss/...
