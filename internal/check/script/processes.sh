# processes NAME... prints those processes whose name, as the kernel keeps it, is
# one of these: status and arguments. The shell that runs this is not meant.
processes() {
	if [ ! -d /proc/self ]; then
		frame processes absent
		return
	fi
	if [ ! -r /proc/1/stat ]; then
		frame processes denied
		return
	fi
	frame processes read
	set +f
	for p in /proc/[0-9]*; do
		[ "$p" = "/proc/$$" ] && continue
		comm=
		{ IFS= read -r comm <"$p/comm"; } 2>/dev/null || continue
		for name; do
			if [ "$comm" = "$name" ]; then
				frame process "${p#/proc/}"
				cat "$p/status" 2>/dev/null
				frame process-args
				cat "$p/cmdline" 2>/dev/null
				break
			fi
		done
	done
	set -f
}
