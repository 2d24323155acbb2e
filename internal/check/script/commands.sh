# Runs commands one after the other. Their output goes straight to ours, between
# frames on both streams: pipes would cost processes, files would change the
# image. A second process wakes this shell each second, so that it can look
# whether the time of a command is over.

ticks=0
trap 'ticks=$((ticks + 1))' USR1

tick() {
	{
		while sleep 1; do
			kill -USR1 $$ || exit
		done
	} </dev/null >/dev/null 2>&1 &
	ticker=$!
}

# How to end what a command has started: all of our namespace, of which we are
# process 1; or its process group, when setsid can give it one; or only itself.
own_group=
if [ $isolation != none ] && [ $$ = 1 ]; then
	reach=namespace
elif command -v setsid >/dev/null; then
	reach=group
	own_group=setsid
else
	reach=process
fi

# end PID kills a command and what it started.
end() {
	case $reach in
	namespace)
		kill -KILL -1
		tick
		;;
	group) kill -KILL "-$1" ;;
	process) kill -KILL "$1" ;;
	esac 2>/dev/null
}

# sweep PID ends what a command that is over has left running: it could write
# into the output of the next one. A /proc of our own shows this shell, the ticker
# and its sleep; looking there is cheaper than starting the ticker again.
sweep() {
	[ $reach != process ] || return
	if [ $isolation = full ]; then
		set +f
		set -- "$1" /proc/[0-9]*
		set -f
		[ $# -gt 4 ] || return
	fi
	end "$1"
}

# run ID SECONDS TEXT WAY runs a command. Where all that is left of it can be ended,
# WAY may be here or exec, which save starting a shell: the text means the same in
# any.
run() {
	frame out "$1"
	frame err "$1" >&2
	ticks=0
	case $reach-$4 in
	namespace-here) eval "set +f;$3" </dev/null & ;;
	namespace-exec) eval "set +f;exec $3" </dev/null & ;;
	*) $own_group /bin/sh -c "$3" </dev/null & ;;
	esac
	pid=$!
	over=
	while :; do
		before=$ticks
		wait $pid 2>/dev/null
		status=$?
		# A tick ends the wait too; then the command is still there.
		[ "$ticks" != "$before" ] && kill -0 $pid 2>/dev/null || break
		if [ -z "$over" ] && [ "$ticks" -gt "$2" ]; then
			over=over
			end $pid
		fi
	done
	sweep $pid
	frame err-end "$1" >&2
	frame ran "$1" "$status" $over
}
