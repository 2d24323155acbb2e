# units UNIT... prints what is enabled, as systemd, OpenRC and System V keep it.
# --root makes systemctl read files and ask no manager, which would not answer here.
# It says nothing of a folder that it may not read. Without units it is asked for
# all, which takes it a third of a second.
units() {
	for d in /etc/systemd/system /etc/init.d /etc/runlevels /etc/rc2.d; do
		if [ -d "$d" ] && { [ ! -r "$d" ] || [ ! -x "$d" ]; }; then
			frame units-denied
			printf %s "$d"
			return
		fi
	done
	if command -v systemctl >/dev/null; then
		frame units systemd read
		# Unquoted: aliases are words.
		systemctl --root=/ list-unit-files --all --full --no-pager --no-legend -- "$@" ${1:+$aliases} || frame units systemd broken
	fi
	set +f
	frame initscripts
	for f in /etc/init.d/*; do
		[ -f "$f" ] && [ -x "$f" ] && printf '%s\0' "${f##*/}"
	done
	if [ -d /etc/runlevels ]; then
		frame runlevels
		for f in /etc/runlevels/*/*; do
			{ [ -e "$f" ] || [ -L "$f" ]; } && printf '%s\0' "$f"
		done
	fi
	frame rc
	for f in /etc/rc[S2345].d/S[0-9][0-9]*; do
		[ -e "$f" ] && printf '%s\0' "$f"
	done
	set -f
	file machine-id /etc/machine-id
}

# unit ID NAME looks for the files of a unit. The first that exists counts. What an
# alias stands for, and what may start that, goes to aliases.
aliases=
unit() {
	for d in /etc/systemd/system /usr/local/lib/systemd/system /usr/lib/systemd/system /lib/systemd/system; do
		if [ -L "$d/$2" ]; then
			frame unit-file "$1" link
			f=$(readlink "$d/$2")
			printf '%s\n' "$f"
			f=${f##*/}
			aliases="$aliases $f ${f%.service}.socket ${f%.service}.timer ${f%.service}.path"
			return
		elif [ -e "$d/$2" ]; then
			frame unit-file "$1" file
			return
		fi
	done
}

# instance ID NAME asks for an instance of a template, which no list has.
instance() {
	if command -v systemctl >/dev/null; then
		frame instance "$1"
		systemctl --root=/ is-enabled "$2" 2>/dev/null
	fi
}

# running NAME... prints a line for each service: active, inactive, failed, ….
running() {
	if [ -d /run/systemd/system ]; then
		frame running systemd
		systemctl is-active "$@"
		return
	fi
	if command -v rc-service >/dev/null; then
		frame running openrc
		for f; do
			if rc-service "$f" status >/dev/null 2>&1; then echo active; else echo inactive; fi
		done
		return
	fi
	frame running sysv
	for f; do
		if [ ! -x "/etc/init.d/$f" ]; then
			echo absent
		elif "/etc/init.d/$f" status >/dev/null 2>&1; then
			echo active
		else
			echo inactive
		fi
	done
}
