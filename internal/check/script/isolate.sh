# isolated PROGRAM NETWORK runs a program of the shell where it sees no process of
# the build host and, with -n for a network of its own, no port or interface, as far as the image's unshare can do that. That of
# busybox mounts a /proc only over one that is there.
isolated() {
	own='mount -n -t proc proc /proc && exec /bin/sh -s'
	if unshare -m -u -i $2 -p -f --mount-proc /bin/sh -c : 2>/dev/null; then
		frame isolation full
		printf 'isolation=full\n%s\n' "$1" | unshare -m -u -i $2 -p -f --mount-proc /bin/sh -s
	elif unshare -m -u -i $2 -p -f /bin/sh -c "$own" </dev/null 2>/dev/null; then
		frame isolation full
		printf 'isolation=full\n%s\n' "$1" | unshare -m -u -i $2 -p -f /bin/sh -c "$own"
	elif unshare -u -i $2 -p -f /bin/sh -c : 2>/dev/null; then
		frame isolation partial
		printf 'isolation=partial\n%s\n' "$1" | unshare -u -i $2 -p -f /bin/sh -s
	else
		frame isolation none
		plainly "$1"
	fi
}

plainly() { printf 'isolation=none\n%s\n' "$1" | /bin/sh -s; }
