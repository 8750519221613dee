//go:build !removedgates

package progress

// GateRemoved is always false: only a build made to test that a missing gate is caught can
// remove one.
func GateRemoved(string) bool { return false }
