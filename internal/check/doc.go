// Package check decides whether an image is what it should be.
//
// Checks come as blocks, of a template or of suite files ([ParseSuite]).
// [Compile] turns them into a [Plan]: assertions, each with a subject, a
// property and an expectation, and the state of the image that is needed to
// decide them. [Run] reads all of that state with one POSIX shell script, given
// to a shell of the image over its standard input, and decides on the host.
// Nothing is uploaded, and the image's files are not touched.
//
// Three rules hold everywhere:
//
//   - Nothing passes that was not decided. What cannot be read is an error, and
//     so is a question that has no answer in an image that is not running.
//   - A check that cannot fail is refused before anything runs.
//   - Bytes of the image are data. They travel between marks that nobody in the
//     image can know, and no text of a check is ever spliced into a script.
//
// A kind of check is one file, block_NAME.go: the block as people write it, what
// must be read for it, and how it is decided. A source of state is one file too,
// source_NAME.go: its part of the script and the parser of what it prints.
package check
