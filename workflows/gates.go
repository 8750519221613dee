//go:build !removedgates

package workflows

// gateRemoved is always false: only a build made to test that a missing gate is caught can remove one.
func gateRemoved(string) bool { return false }
