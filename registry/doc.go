// Package registry remembers machine images: what they are, what they were
// baked from, how their tests went, and what was decided about them.
//
// The model in five sentences. An [Image] is one baked machine image, with the
// attributes people look it up by and an [Artifact] for each region it is in.
// It names the image that it was baked from, and that edge leads, step by
// step, to its foundation: its lineage. Results of tests and marks (promoted,
// deprecated, revoked, held, retired) are appended to it and never changed or
// removed. Its [Status] is worked out from them when it is read, with the rule
// that a revoked image revokes everything baked from it. A channel, such as
// stable, points to one image of each [Line] and moves only when nobody else
// has moved it in between.
//
// A [Registry] answers questions and records facts: it is where status,
// queries and lineage are worked out, once, whatever the [Store] underneath. A
// store keeps records and answers coarse scans; package sqlite is the embedded
// one, package dynamodb the one for teams.
//
// # Order
//
// Images have one total order: the newer was baked later
// ([Image.CreatedAt]), and of two baked in the same millisecond the newer has
// the greater id. Versions do not decide what is newest: a fix to an old
// version is baked later and is wanted. Constrain the version where that is
// not so.
//
// # Compatibility
//
// The module is at version 0: names may still change. What is stored does not
// change its meaning; stores refuse data that a later release has written.
package registry
