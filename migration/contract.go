package migration

import "fmt"

// Contract and OldestContract are the versions of docs/contract.md that an app may keep.
const (
	Contract       = 2
	OldestContract = 1
)

// Foreign says why what an app tells by a version of the contract cannot be relied on; "": it
// can. 0 is an app that does not tell: it is older than the versions.
func Foreign(version int) string {
	knows := fmt.Sprintf("it keeps version %d of the contract, and this Switchyard knows %d to %d",
		max(version, 1), OldestContract, Contract)
	switch {
	case max(version, 1) < OldestContract:
		return knows + ": update its @switchyard/bullmq"
	case version > Contract:
		return knows + ": update Switchyard first"
	}
	return ""
}
