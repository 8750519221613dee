package evidence

import (
	"errors"
	"fmt"
)

// Off is the id of the check of the old servers being off.
const Off = "source-off"

var offCheck = Check{
	ID:    Off,
	Title: "Source off",
	Limit: "every old server powered off and unreachable",
	Next:  "run the step Decommission",
	Judge: judge(judgeOff),
}

// OffFacts is the evidence of Off.
type OffFacts struct {
	Servers []ServerOff `json:"servers"`
}

// ServerOff is one old server after its power-off.
type ServerOff struct {
	Label     string `json:"label"`
	Address   string `json:"address"`
	Status    string `json:"status"` // as the hosting API says: offline, deleted
	Reachable bool   `json:"reachable"`
}

func judgeOff(f OffFacts) (bool, string, error) {
	if len(f.Servers) == 0 {
		return false, "", errors.New("no server was looked at")
	}
	for _, s := range f.Servers {
		if s.Reachable {
			return false, fmt.Sprintf("%s (%s) still answers", s.Label, s.Address), nil
		}
		if s.Status != "offline" && s.Status != "deleted" {
			return false, fmt.Sprintf("%s is %s", s.Label, s.Status), nil
		}
	}
	machines := 0
	for _, s := range f.Servers {
		if s.Address == "" {
			machines++
		}
	}
	return true, fmt.Sprintf("%d old machines are off or deleted, and nothing answers at %d "+
		"old addresses",
		machines, len(f.Servers)-machines), nil
}
