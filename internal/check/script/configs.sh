# configs ID DIR PATTERN prints the files of a folder whose names match: for each
# its name, x when it can be executed, and then its text. What is no regular file has none: a link to
# /dev/null is how people mask such a file.
configs() {
	i=$1
	if [ ! -d "$2" ]; then
		frame configs "$i" absent
		return
	fi
	if [ ! -r "$2" ] || [ ! -x "$2" ]; then
		frame configs "$i" denied
		return
	fi
	frame configs "$i" read
	set +f
	set -- "$2"/$3
	set -f
	for f; do
		[ -e "$f" ] || [ -L "$f" ] || continue
		if [ -x "$f" ]; then frame config "$i" x; else frame config "$i"; fi
		printf %s "${f##*/}"
		if [ ! -f "$f" ]; then
			frame config-text "$i" absent
		elif [ ! -r "$f" ]; then
			frame config-text "$i" denied
		else
			frame config-text "$i" read
			cat "$f" || frame config-end "$i" broken
		fi
	done
}
