// Package goss reads the suites of goss as they are, and makes checks of them.
//
// What a gossfile of goss v0.4.9 means is kept: templates and their functions,
// vars files, includes, resources and matchers. What goss lets pass without
// having looked is not: an empty list that asserts nothing, a resource without
// assertions, a section whose name is misspelt, an id that a later file takes
// away, a question that an image in a chroot cannot answer. Each of these is
// reported, with its file and line and with what to write instead.
package goss
