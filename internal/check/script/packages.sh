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
			rpms "$f"
			break
		fi
	done
}

# rpms DATABASE asks rpm, which writes to its database even when it only reads.
# So it gets a root that it cannot write to, or else a copy in memory; where no
# namespace can be had it touches the files beside the database. Without -n, mount
# would make a folder in /run.
rpms() {
	format='%{NAME}\t%{ARCH}\t%|EPOCH?{%{EPOCH}:}|%{VERSION}-%{RELEASE}\t%{SOURCERPM}\n'
	query='exec rpm -qa --nosignature --nodigest --qf "$1"'
	frame packages rpm read
	unshare -m /bin/sh -c "mount -n -o remount,bind,ro none / && $query" sh "$format" 2>/dev/null && return
	frame packages rpm read
	unshare -m /bin/sh -c "mount -n -t tmpfs tmpfs /tmp && cp -a \"\$2\" /tmp/db && $query --dbpath /tmp/db" sh "$format" "$1" 2>/dev/null && return
	frame packages rpm read
	rpm -qa --nosignature --nodigest --qf "$format" || frame packages rpm broken
}
