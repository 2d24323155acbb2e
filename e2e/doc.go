// Package e2e runs the examples under the real packer binary, on a local cloud
// of their own, as a user would. Its tests need root, and what scripts/testacc.sh
// prepares; without PACKER_ACC=1 they skip.
package e2e
