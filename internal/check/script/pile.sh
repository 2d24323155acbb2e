# pile BATCH PATH... prints the sizes of files and then their bytes, one file after
# the other.
pile() {
	batch=$1
	shift
	frame pile-sizes "$batch"
	stat -c %s "$@"
	frame pile "$batch"
	if cat "$@"; then frame pile-end "$batch" read; else frame pile-end "$batch" broken; fi
}
