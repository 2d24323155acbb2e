# Defined before all else. $n is the run's nonce; frame opens a piece of output.
LC_ALL=C
export LC_ALL
PATH=$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH
unset CDPATH ENV BASH_ENV IFS
set -f

frame() { printf '\n%s %s\n' "$n" "$*"; }

# file TAG PATH prints a file, with read, absent or denied as the frame's argument.
file() {
	if [ ! -e "$2" ]; then
		frame "$1" absent
	elif [ ! -r "$2" ] || [ ! -f "$2" ]; then
		frame "$1" denied
	else
		frame "$1" read
		cat "$2" || frame "$1" broken
	fi
}
