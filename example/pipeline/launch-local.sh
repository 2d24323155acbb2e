#!/bin/sh
# Launches an image of the local cloud: boots a copy of its disk in a container,
# runs a suite there once all services are up, and shuts it down.
#
#   launch-local.sh IMAGE SUITE REPORT
#
# Needs root and systemd-nspawn. The exit status is that of the suite.
set -eu
image=${1:?usage: launch-local.sh IMAGE SUITE REPORT}
suite=${2:?usage: launch-local.sh IMAGE SUITE REPORT}
report=${3:?usage: launch-local.sh IMAGE SUITE REPORT}

work=$(mktemp -d)
clean() {
	mountpoint -q "$work/root" && umount "$work/root"
	rm -rf --one-file-system "$work"
}
trap clean EXIT
trap 'exit 130' INT TERM
mkdir "$work/root" "$work/validate"

bakery local export "$image" "$work/disk.raw" >/dev/null
start=$(sfdisk --dump "$work/disk.raw" | sed -n 's/.*start= *\([0-9]*\),.*/\1/p' | tail -n 1)
mount -o "loop,offset=$((start * 512))" "$work/disk.raw" "$work/root"

cp "$(command -v bakery)" "$work/validate/bakery"
cp "$suite" "$work/validate/"
name=$(basename "$suite")

# The machine ends when the suite has, with its exit status.
cat >"$work/root/etc/systemd/system/validate.service" <<UNIT
[Unit]
After=multi-user.target
SuccessAction=exit-force
FailureAction=exit-force

[Service]
Type=oneshot
StandardOutput=file:/validate/output
StandardError=file:/validate/output
ExecStart=/validate/bakery spec run --here --mode booted --junit /validate/report.xml /validate/$name
UNIT
mkdir -p "$work/root/etc/systemd/system/multi-user.target.wants"
ln -s ../validate.service "$work/root/etc/systemd/system/multi-user.target.wants/validate.service"

status=0
systemd-nspawn --quiet --register=no --keep-unit --private-network --console=pipe \
	--machine="validate-$$" --bind="$work/validate:/validate" --directory="$work/root" \
	--boot systemd.unit=multi-user.target >"$work/console" 2>&1 || status=$?
cat "$work/validate/output" 2>/dev/null || true
if ! [ -s "$work/validate/report.xml" ]; then
	echo "$image did not come up:" >&2
	tail -n 40 "$work/console" >&2
	exit 1
fi
mkdir -p "$(dirname "$report")"
cp "$work/validate/report.xml" "$report"
exit "$status"
