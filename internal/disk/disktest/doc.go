// Package disktest makes disk images for tests, with the tools that people make
// disks with: sfdisk and mkfs (Linux). Code under test is held against what
// these say.
package disktest
