# covered BATCH COVERED FILE PATH... prints a letter for each path: whether it
# leads to the file.
covered() {
	frame covered "$1" "$2"
	file=$3
	shift 3
	for f; do
		[ "$f" -ef "$file" ]
		case $? in
		0) printf y ;;
		1) printf n ;;
		*) printf x ;;
		esac
	done
}
