# hygiene RULE WHAT PATTERN... prints the paths that match and that are there
# (WHAT is present), or the files with content at and below them (content). ~ stands
# for each home directory. Only root can tell that there are none.
hygiene() {
	rule=$1
	what=$2
	shift 2
	if [ "$uid" != 0 ]; then
		frame hygiene-end "$rule" denied
		return
	fi
	frame hygiene "$rule"
	state=read
	set +f
	for pattern; do
		case $pattern in
		'~/'*)
			pattern=${pattern#??}
			for home in /root /home/*; do
				found "$home"/$pattern
			done
			while IFS=: read -r name password user group gecos home shell; do
				if [ -d "$home" ]; then found "${home%/}"/$pattern; fi
			done </etc/passwd || state=broken
			;;
		*) found $pattern ;;
		esac
	done
	set -f
	frame hygiene-end "$rule" $state
}

found() {
	for f; do
		if [ "$what" = present ]; then
			if [ -e "$f" ] || [ -L "$f" ]; then printf '%s\n' "$f"; fi
		elif [ -d "$f" ]; then
			find -H "$f" -type f -size +0c || state=broken
		elif [ -f "$f" ] && [ -s "$f" ]; then
			printf '%s\n' "$f"
		fi
	done
	:
}

# private_keys RULE EXPRESSION PATH... prints the files that have a line that
# matches, each volume by itself, and without what is at and below the paths. Of /usr and the folders that it replaces, only /usr/local.
private_keys() {
	if [ "$uid" != 0 ]; then
		frame hygiene-end "$1" denied
		return
	fi
	rule=$1
	expression=$2
	shift 2
	frame hygiene "$rule"
	state=read
	for f; do
		shift
		set -- "$@" -path "$f" -prune -o
	done
	set +f
	for f in /* /.[!.]* /usr/local; do
		case $f in
		/proc | /sys | /dev | /run | /usr | /bin | /sbin | /lib | /lib32 | /lib64 | /libx32) continue ;;
		esac
		[ -e "$f" ] || continue
		find -H "$f" -xdev "$@" -type f -size -1025k -exec /bin/sh -c 'grep -l -E -e "$0" "$@"; [ $? -le 1 ]' "$expression" {} + || state=broken
	done
	set -f
	frame hygiene-end "$rule" $state
}
