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

# own_group makes a command the leader of a process group, that of all it starts.
own_group=
if [ $isolation = none ] && command -v setsid >/dev/null; then
	own_group=setsid
fi

# end PID kills a command and what it started. Process 1 of a namespace can name
# all others of it with -1; anyone else must never do that.
end() {
	if [ $isolation != none ] && [ $$ = 1 ]; then
		kill -KILL -1
		tick
	elif [ -n "$own_group" ]; then
		kill -KILL "-$1"
	else
		kill -KILL "$1"
	fi 2>/dev/null
}

# sweep PID ends what a command has left running: it could write into the output
# of the next one. A /proc of our own shows this shell, the ticker and its sleep;
# looking there is cheaper than starting the ticker again.
sweep() {
	if [ $isolation = full ]; then
		set +f
		set -- "$1" /proc/[0-9]*
		set -f
		[ $# -gt 4 ] || return
	fi
	end "$1"
}

# run ID SECONDS TEXT
run() {
	frame out "$1"
	frame err "$1" >&2
	ticks=0
	$own_group /bin/sh -c "$3" </dev/null &
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
