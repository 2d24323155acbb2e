// Package disk reads what is on a disk, or on the image file of one, without
// mounting it: its partition table and its file systems.
package disk
