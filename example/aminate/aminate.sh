#!/bin/sh
# Bakes an image of a package: aminate.sh PACKAGE [OPTION OF packer build]...
set -eu
package=${1:?usage: aminate.sh PACKAGE [OPTION OF packer build]...}
shift

case $package in
*.deb)
	name=$(dpkg-deb --field "$package" Package)
	version=$(dpkg-deb --field "$package" Version)
	;;
*.rpm)
	name=$(rpm --query --package --queryformat '%{NAME}' "$package")
	version=$(rpm --query --package --queryformat '%{VERSION}-%{RELEASE}' "$package")
	;;
*)
	echo "$package is neither a .deb nor an .rpm." >&2
	exit 2
	;;
esac

exec packer build -var "package=$package" -var "application=$name" -var "version=$version" \
	"$@" "$(dirname "$0")"
