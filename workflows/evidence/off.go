package evidence

import (
	"errors"
	"fmt"

	"github.com/switchyard-dev/switchyard/migration"
)

// Off is the id of the check of the old servers being off.
const Off = "source-off"

var offCheck = New(Check{
	ID:      Off,
	Title:   "Source off",
	Limit:   "every old server powered off and unreachable",
	Next:    "run the step Decommission",
	MaxAge:  day,
	Undone:  true,
	Watched: true,
}, coverOff, judgeOff)

// OffFacts is the evidence of Off.
type OffFacts struct {
	Servers []ServerOff `json:"servers"`
}

// ServerOff is one old server after its power-off: a machine, without an address, or an
// address at which one of them answered.
type ServerOff struct {
	Label   string `json:"label"`
	Address string `json:"address"`
	// Status is as the host says: offline, deleted. Of a machine without an API a person
	// says it.
	Status    string `json:"status"`
	Reachable bool   `json:"reachable"`
	// Answer of an address is refused, or unanswered while Switchyard's own network worked.
	// Earlier versions took any error for silence, also one of their own network, and did not
	// keep which: see judgeOff.
	Answer string `json:"answer,omitempty"`
}

func coverOff(f OffFacts) migration.Coverage {
	c := migration.Coverage{Of: "server", Found: "the configured machines and addresses"}
	for _, s := range f.Servers {
		c.Members = append(c.Members, server(s.Label+s.Address, migration.Truth(!s.Reachable),
			s.Status))
	}
	return c
}

func judgeOff(f OffFacts) (bool, string, error) {
	if len(f.Servers) == 0 {
		return false, "", errors.New("no server was checked")
	}
	machines, refused, untold := 0, 0, ""
	for _, s := range f.Servers {
		switch {
		case s.Reachable:
			return false, fmt.Sprintf("%s (%s) still answers", s.Label, s.Address), nil
		case s.Status != "offline" && s.Status != "deleted":
			return false, fmt.Sprintf("%s is %s", s.Label, s.Status), nil
		case s.Address == "":
			machines++
		case s.Answer == "refused":
			refused++
		case s.Answer != "unanswered":
			untold = s.Address
		}
	}
	if untold != "" {
		return false, "", fmt.Errorf("it does not say whether %s refused or Switchyard's own "+
			"network was down: it has to be looked at again", untold)
	}
	if machines == 0 {
		return false, "", errors.New("nobody was asked whether a machine is off: none is configured")
	}
	addresses := len(f.Servers) - machines
	return true, fmt.Sprintf("%d old machines are off or deleted, and nothing answers at %d "+
		"old addresses (%d refused, %d unanswered)",
		machines, addresses, refused, addresses-refused), nil
}
