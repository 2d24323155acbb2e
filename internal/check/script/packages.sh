# packages prints the databases of the package systems that the image has.
packages() {
	if [ -s /var/lib/dpkg/status ]; then
		if [ -r /var/lib/dpkg/status ]; then
			frame packages dpkg read
			grep -E '^(Package|Status|Version|Architecture|Source):' /var/lib/dpkg/status || frame packages dpkg broken
		else
			frame packages dpkg denied
		fi
		set +f
		for f in /var/lib/dpkg/updates/*; do
			[ -e "$f" ] && frame packages-interrupted dpkg
			break
		done
		set -f
	fi
	if [ -s /lib/apk/db/installed ]; then
		frame packages apk read
		grep '^[PVAo]:' /lib/apk/db/installed || frame packages apk broken
	fi
	for f in /var/lib/rpm /usr/lib/sysimage/rpm /usr/share/rpm; do
		if [ -s "$f/rpmdb.sqlite" ] || [ -s "$f/Packages.db" ] || [ -s "$f/Packages" ]; then
			ask_rpm 'packages rpm read' 'packages rpm broken' "$f" '%{NAME}\t%{ARCH}\t%|EPOCH?{%{EPOCH}:}|%{VERSION}-%{RELEASE}\t%{SOURCERPM}\n'
			break
		fi
	done
}
