// Package localcloud is an EC2 that runs on one Linux machine as root: volumes
// are sparse files behind loop devices, snapshots and images are files and rows
// in SQLite. It speaks the EC2 query API, as much of STS as clients insist on,
// and instance metadata, to the same process by an [http.RoundTripper] and to
// others by an [http.Handler].
//
// Several processes may have the same store open. Each change is one SQLite
// transaction; files get their final name inside the transaction that makes
// them known, so that a process killed at any moment leaves nothing but files
// without a row, which the next [Open] removes. States such as pending are not
// driven by anyone: what a resource is now follows from the times stored with
// it, when it is read.
package localcloud
