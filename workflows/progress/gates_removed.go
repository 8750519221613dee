//go:build removedgates

package progress

import "os"

// GateRemoved lets a test take one gate out of the way, to show that what then goes wrong
// is caught by the ledger and the criteria.
func GateRemoved(name string) bool { return os.Getenv("SWITCHYARD_TEST_REMOVE_GATE") == name }
