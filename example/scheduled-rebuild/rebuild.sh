#!/bin/sh
# Bakes a new foundation, and then everything whose ancestor is no longer the
# newest tested one, round by round, until nothing is out of date.
#
#   rebuild.sh TEMPLATES
#
# TEMPLATES is a folder that has the template of the application NAME in a folder
# or link of that name, foundation among them. CLOUD is local or aws. Each image
# is promoted to CHANNEL, unless that is empty.
set -eu
templates=${1:?usage: rebuild.sh TEMPLATES}
cloud=${CLOUD:-local}
channel=${CHANNEL-stable}
version=${VERSION:-$(date -u +%Y.%m.%d)}

bake() {
	echo "== $1 $version"
	packer build -color=false -var "cloud=$cloud" -var "version=$version" "$templates/$1"
	[ -n "$channel" ] || return 0
	image=$(bakery images ls --application "$1" --status tested --limit 1 --output json |
		jq --exit-status --raw-output '.[0].artifacts[0].image_id')
	bakery promote "$image" --channel "$channel" --reason "scheduled rebuild $version"
}

bake foundation

last=
while :; do
	# What can be baked now: the first round, for what comes after it stands on it.
	next=$(bakery outdated --output json | jq --raw-output '.[] | select(.round == 1) | .application')
	[ -n "$next" ] || break
	if [ "$next" = "$last" ]; then
		echo "baked, and still out of date:" "$next" >&2
		exit 1
	fi
	last=$next
	for application in $next; do
		bake "$application"
	done
done
bakery images tree
