# ask_rpm FRAME BROKEN DATABASE FORMAT asks rpm about all packages. It writes to its
# database even when it only reads. So it gets a root that it cannot write to, or
# else a copy in memory; where no namespace can be had it touches the files beside
# the database. Without -n, mount would make a folder in /run. Each attempt opens
# the frame FRAME anew; BROKEN is the one that says that all of them went wrong.
ask_rpm() {
	query='exec rpm -qa --nosignature --nodigest --qf "$1"'
	frame $1
	unshare -m /bin/sh -c "mount -n -o remount,bind,ro none / && $query" sh "$4" 2>/dev/null && return
	frame $1
	unshare -m /bin/sh -c "mount -n -t tmpfs tmpfs /tmp && cp -a \"\$2\" /tmp/db && $query --dbpath /tmp/db" sh "$4" "$3" 2>/dev/null && return
	frame $1
	rpm -qa --nosignature --nodigest --qf "$4" || frame $2
}
