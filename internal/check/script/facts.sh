# facts prints the beginning of the shell's own file, which tells what machine the
# image is for; the kernel is the build host's.
facts() {
	frame elf
	head -c 20 /bin/sh
}
