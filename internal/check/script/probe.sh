# probe prints what tells a booted system from a chroot and from a container.
probe() {
	frame mark root
	stat -L -c %d:%i / /proc/1/root/. 2>/dev/null
	frame mark init
	[ -r /proc/1/comm ] && cat /proc/1/comm 2>/dev/null
	if [ -e /.dockerenv ] || [ -e /run/.containerenv ] || [ -n "${container-}" ]; then
		frame mark container
	fi
	if command -v systemctl >/dev/null; then
		frame mark systemd
		systemctl is-system-running 2>/dev/null
	fi
}
