//go:build removedgates

package workflows

import "os"

// gateRemoved lets a test take one gate out of the way, to show that what then goes wrong is caught by the ledger and the criteria.
func gateRemoved(name string) bool { return os.Getenv("SWITCHYARD_TEST_REMOVE_GATE") == name }
