# links BATCH PATH... prints the status of those that are links, a line each.
links() {
	batch=$1
	shift
	for f; do
		shift
		if [ -L "$f" ]; then
			set -- "$@" "$f"
		fi
	done
	[ $# -gt 0 ] || return
	frame links "$batch"
	stat -c %f:%u:%g:%s "$@" 2>/dev/null
}
