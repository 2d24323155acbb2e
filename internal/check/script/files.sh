# reach PATH tells whether the directories that lead to a path can be searched
# as far as they exist: without that, a path that seems absent may be there.
reach() {
	d=$1
	while [ "$d" != / ]; do
		d=${d%/*}
		[ -n "$d" ] || d=/
		if [ -d "$d" ]; then
			[ -x "$d" ]
			return
		fi
		if [ -L "$d" ]; then
			return 1
		fi
		if [ -e "$d" ]; then
			return 0
		fi
	done
	return 1
}

# entries BATCH STAT PATH... prints a letter for each path: e there, l link,
# d link to nothing, a absent, x cannot tell; and then the status of those that
# lead to something, a line each. Absent ones print none.
entries() {
	batch=$1
	status=$2
	shift 2
	frame entries "$batch"
	for f; do
		if [ -L "$f" ]; then
			if [ -e "$f" ]; then printf l; else printf d; fi
		elif [ -e "$f" ]; then
			printf e
		elif [ "$uid" = 0 ] || reach "$f"; then
			printf a
		else
			printf x
		fi
	done
	if [ "$status" = true ]; then
		frame stat "$batch"
		stat -L -c %f:%u:%g:%s "$@" 2>/dev/null
	fi
}

target() {
	[ -L "$2" ] || return
	frame target "$1" read
	readlink "$2" || frame target "$1" broken
}

# content ID LIMIT PATH prints the beginning of a regular file. Others are left
# alone: reading a pipe would wait for its writer.
content() {
	[ -f "$3" ] || return
	if [ ! -r "$3" ]; then
		frame content-end "$1" denied
		return
	fi
	frame content "$1"
	if head -c "$2" "$3"; then
		frame content-end "$1" read
	else
		frame content-end "$1" broken
	fi
}

# contents SALT LIMIT SMALL IDS PATH... is content for several files. One process
# prints the small ones, each below a head with its path: that has a salt of dots
# and slashes in front, so that no file can hold such a head. A size of 0 says
# nothing: files of the kernel have it too. Paths stay arguments, and words names
# them: a list that is copied for each of its members takes long.
contents() {
	salt=$1
	limit=$2
	small=$3
	ids=$4
	shift 4
	i=0
	left=
	words=
	for id in $ids; do
		i=$((i + 1))
		eval "f=\${$i}"
		if [ -f "$f" ] && [ -r "$f" ]; then
			left="$left $id:$i"
			words="$words \"\${$i}\""
		else
			content "$id" "$limit" "$f"
		fi
	done
	[ -n "$left" ] || return
	sizes=$(eval "stat -L -c %s $words" 2>/dev/null)
	few=
	some=
	words=
	for id in $left; do
		size=${sizes%%[!0-9]*}
		sizes=${sizes#*[!0-9]}
		i=${id#*:}
		if [ "${size:-0}" -gt 0 ] && [ "$size" -le "$small" ]; then
			few="$few ${id%:*}"
			some="$some $id"
			words="$words \"\$salt\${$i}\""
		else
			eval "f=\${$i}"
			content "${id%:*}" "$limit" "$f"
		fi
	done
	[ -n "$few" ] || return
	frame contents $few
	if eval "head -v -c $((small + 1)) $words" 2>/dev/null; then
		frame contents-end $few
		return
	fi
	for id in $some; do
		i=${id#*:}
		eval "f=\${$i}"
		content "${id%:*}" "$limit" "$f"
	done
}

# digest ID ALGORITHM PATH
digest() {
	[ -f "$3" ] || return
	frame digest "$1" "$2"
	if [ ! -r "$3" ]; then
		frame digest-end "$1" "$2" denied
	elif "$2sum" <"$3"; then
		frame digest-end "$1" "$2" read
	else
		frame digest-end "$1" "$2" broken
	fi
}

# caps ID PATH prints what getcap says of a file. It does not follow links.
caps() {
	[ -f "$2" ] || return
	if ! command -v getcap >/dev/null; then
		frame caps-end "$1" absent
		return
	fi
	f=$(readlink -f "$2")
	frame caps-path "$1"
	printf %s "$f"
	frame caps "$1"
	if [ -f "$f" ] && getcap "$f"; then
		frame caps-end "$1" read
	else
		frame caps-end "$1" broken
	fi
}
