#!/bin/sh
# The stages of an image, for any CI: bake it, launch it and validate what only a
# running system can answer, record that, promote it. Each stage begins with what
# the one before it has left in the folder "out".
#
#   pipeline.sh bake PACKAGE VERSION | validate | record | promote CHANNEL
#
# CLOUD is local or aws. On aws, BAKERY_REGISTRY names the team's registry.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cloud=${CLOUD:-local}
suite=$here/../application/shop.spec.hcl
mkdir -p out

case ${1:-} in
bake)
	package=${2:?usage: pipeline.sh bake PACKAGE VERSION}
	version=${3:?usage: pipeline.sh bake PACKAGE VERSION}
	packer init "$here/../application"
	packer build -color=false -var "cloud=$cloud" -var "package=$package" -var "version=$version" \
		"$here/../application"
	# Of this version, the one that was baked last.
	bakery images ls --application shop --version "= $version" --limit 1 --output json |
		jq --exit-status --raw-output '.[0].artifacts[0].image_id' >out/image
	echo "Baked $(cat out/image)"
	;;
validate)
	image=$(cat out/image)
	if [ "$cloud" = local ]; then
		"$here/launch-local.sh" "$image" "$suite" out/booted.xml
	else
		packer init "$here/launch.pkr.hcl"
		packer build -color=false -var "image=$image" -var "suite=$suite" \
			-var "junit=$PWD/out/booted.xml" "$here/launch.pkr.hcl"
	fi
	;;
record)
	bakery test record "$(cat out/image)" --junit out/booted.xml
	;;
promote)
	bakery promote "$(cat out/image)" --channel "${2:?usage: pipeline.sh promote CHANNEL}" \
		--reason "${BUILD_URL:-pipeline.sh}"
	;;
*)
	echo "usage: pipeline.sh bake PACKAGE VERSION | validate | record | promote CHANNEL" >&2
	exit 2
	;;
esac
