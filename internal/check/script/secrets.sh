# candidates PATH... prints the files that could hold a secret, each volume by
# itself, and without what is at and below the paths: a list of names, each with a zero byte behind it, and then a line of size and time
# of change for each of them, and so on.
candidates() {
	if [ "$uid" != 0 ]; then
		frame candidates-end denied
		return
	fi
	frame candidates
	state=read
	for f; do
		shift
		set -- "$@" -path "$f" -prune -o
	done
	set +f
	for f in /* /.[!.]*; do
		case $f in /proc | /sys | /dev | /run) continue ;; esac
		[ -e "$f" ] && [ ! -L "$f" ] || continue
		find "$f" -xdev "$@" -type f -size -1025k -size +0c -exec /bin/sh -c 'printf "%s\0" "$@"; stat -c "%s %Y" "$@"' sh {} + || state=broken
	done
	set -f
	frame candidates-end $state
}

# owned prints what packages say of their files: digests, and when it was so.
owned() {
	set +f
	if [ -s /var/lib/dpkg/status ]; then
		set -- /var/lib/dpkg/info/*.md5sums
		if [ -e "$1" ]; then
			frame owned dpkg
			grep -H '' "$@"
			frame owned dpkg-times
			stat -c '%Y %n' "$@"
		fi
		frame owned dpkg-conffiles
		grep '^ /' /var/lib/dpkg/status
	fi
	set -f
	if [ -s /lib/apk/db/installed ]; then
		frame owned apk
		grep '^[PtFRZ]:' /lib/apk/db/installed
	fi
	for f in /var/lib/rpm /usr/lib/sysimage/rpm /usr/share/rpm; do
		if [ -s "$f/rpmdb.sqlite" ] || [ -s "$f/Packages.db" ] || [ -s "$f/Packages" ]; then
			ask_rpm 'owned rpm' 'owned rpm' "$f" '[%{=INSTALLTIME} %{FILEDIGESTS} %{FILENAMES}\n]'
			break
		fi
	done
}
