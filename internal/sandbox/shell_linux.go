package sandbox

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Shell returns the arguments that make a POSIX shell run a script, in the way
// of `sh -c`. The kernel takes no single argument of 128 KiB (MAX_ARG_STRLEN),
// so a longer script goes in pieces, which the shell puts together again;
// neither its stdin nor a file in the image is needed for that. All arguments
// together may be about 2 MiB long.
func Shell(script string) []string {
	const longest = 96 << 10
	const shell = "/bin/sh"
	if len(script) <= longest {
		return []string{shell, "-c", script}
	}
	var words strings.Builder
	argv := []string{shell, "-c", "", shell}
	for n := 1; script != ""; n++ {
		piece := min(longest, len(script))
		for cut := piece; piece < len(script) && cut > piece-utf8.UTFMax; cut-- {
			if utf8.RuneStart(script[cut]) {
				piece = cut
				break
			}
		}
		argv = append(argv, script[:piece])
		script = script[piece:]
		fmt.Fprintf(&words, "${%d}", n)
	}
	// The script must not see the pieces as its own arguments.
	argv[2] = "eval \"set --\n" + words.String() + "\""
	return argv
}
