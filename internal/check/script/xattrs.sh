# xattr ID NUMBER PATH NAME prints an extended attribute. That there is none of
# the name, and that it could not be read, is told apart by the list of all.
xattr() {
	if ! command -v getfattr >/dev/null; then
		frame xattr-end "$1" "$2" tool
		return
	fi
	frame xattr "$1" "$2"
	if getfattr --only-values --absolute-names -n "$4" "$3" 2>/dev/null; then
		frame xattr-end "$1" "$2" read
	elif all=$(getfattr --absolute-names -m - "$3" 2>/dev/null); then
		case "
$all
" in
		*"
$4
"*) frame xattr-end "$1" "$2" broken ;;
		*) frame xattr-end "$1" "$2" absent ;;
		esac
	else
		frame xattr-end "$1" "$2" broken
	fi
}
