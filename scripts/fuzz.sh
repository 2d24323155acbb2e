#!/usr/bin/env bash
# Runs each fuzz target for a bounded time: fuzz.sh 60s [PACKAGE...]. Go can run
# only one at once. What a target finds is left in its testdata/fuzz, to be kept
# as a test.
set -euo pipefail
cd "$(dirname "$0")/.."
time=${1:?say for how long each target runs, for example 60s}
shift
packages=$(grep -rl --include='*_test.go' '^func Fuzz' "${@:-.}" | xargs -n1 dirname | sort -u)
failed=
for package in $packages; do
	targets=$(grep -h '^func Fuzz' "$package"/*_test.go | sed 's/^func \(Fuzz[A-Za-z0-9_]*\).*/\1/' | sort)
	for target in $targets; do
		# Left alone, Go makes each input that is new smaller for up to a minute,
		# in which it tries no others. The last line says how many were tried.
		if out=$(go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" -fuzzminimizetime 100x "./${package#./}" 2>&1); then
			printf '%s %s: %s\n' "${package#./}" "$target" "$(grep -o 'execs: [0-9]*' <<<"$out" | tail -n 1)"
		else
			failed="$failed $target"
			printf '%s %s failed:\n%s\n' "${package#./}" "$target" "$out"
		fi
	done
done
[ -z "$failed" ] || { echo "These fuzz targets failed:$failed" >&2; exit 1; }
