package evidence

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
)

// TargetPlan is the id of the check of the managed database's plan.
const TargetPlan = "target-plan"

var targetPlanCheck = New(Check{
	ID:    TargetPlan,
	Title: "Managed plan",
	Limit: "the wanted plan at a fixed price, eviction off, TLS on, active",
	Next: "run the step Provision the managed Redis; once orders go there, correct it at its " +
		"service, and Switchyard looks again by itself",
	Before:  migration.StageDualWrite,
	MaxAge:  day,
	About:   []migration.Aspect{migration.AspectDatabase},
	Watched: true,
}, coverTargetPlan, judgeTargetPlan)

// TargetPlanFacts is the evidence of TargetPlan: what is known of the database, from the
// managed service's API or, where there is none, from the server and its owner.
type TargetPlanFacts struct {
	Provider   string `json:"provider"`
	DatabaseID string `json:"database_id"`
	Name       string `json:"name"`
	Region     string `json:"region"`
	// Wanted is the title of the plan that the configuration asks for, and PlanFits says that
	// the database is on it, at a fixed price.
	Wanted   string `json:"wanted,omitempty"`
	PlanFits bool   `json:"plan_fits,omitempty"`
	// Fixed1GB is what earlier versions have instead, which knew one plan.
	Fixed1GB bool   `json:"fixed_1gb,omitempty"`
	PlanNote string `json:"plan_note"` // how the plan was told
	Eviction bool   `json:"eviction"`
	TLS      bool   `json:"tls"`
	State    string `json:"state"`
	// AutoUpgrade: a full database moves to a larger plan, and price, by itself.
	AutoUpgrade bool `json:"auto_upgrade,omitempty"`
	// SameName are the ids of other databases of that name, which somebody pays for.
	SameName []string `json:"same_name,omitempty"`
}

func coverTargetPlan(f TargetPlanFacts) migration.Coverage {
	c := migration.Coverage{Of: "database", Found: "the managed service"}
	if id := cmp.Or(f.DatabaseID, f.Name); id != "" {
		c.Members = append(c.Members, migration.Member{Key: "database:" + id,
			Name: f.Name, Verdict: migration.Met})
	}
	return c
}

func judgeTargetPlan(f TargetPlanFacts) (bool, string, error) {
	wanted, fits := f.Wanted, f.PlanFits
	if wanted == "" { // of an earlier version
		wanted, fits = "Fixed 1 GB", f.Fixed1GB
	}
	var bad []string
	if !fits {
		bad = append(bad, "plan is not "+wanted+" ("+f.PlanNote+")")
	}
	if f.Eviction {
		bad = append(bad, "eviction is on")
	}
	if !f.TLS {
		bad = append(bad, "TLS is off")
	}
	if f.State != "active" {
		bad = append(bad, "state is "+f.State)
	}
	if f.AutoUpgrade {
		bad = append(bad, "automatic upgrades are on")
	}
	if len(f.SameName) > 0 {
		bad = append(bad,
			"there are others of that name, which are billed too: "+list(f.SameName))
	}
	if len(bad) > 0 {
		return false, f.Name + ": " + list(bad), nil
	}
	return true, fmt.Sprintf("%s database %s in %s is %s, eviction off, TLS on, active",
		f.Provider, f.Name, f.Region, wanted), nil
}

// TargetConn is the id of the check of the connection to the managed database.
const TargetConn = "target-connection"

var targetConnCheck = New(Check{
	ID:      TargetConn,
	Title:   "Managed connection",
	Limit:   "verified TLS, and every command BullMQ needs works",
	Next:    "run the step Provision the managed Redis",
	Before:  migration.StageDualWrite,
	MaxAge:  time.Hour,
	About:   []migration.Aspect{migration.AspectTarget},
	Watched: true,
}, coverTargetConn, judgeTargetConn)

// TargetConnFacts is the evidence of TargetConn.
type TargetConnFacts struct {
	Address     string   `json:"address"`
	TLSVerified bool     `json:"tls_verified"`
	Answered    []string `json:"answered"`   // commands that BullMQ needs and that worked
	Refused     []string `json:"refused"`    // commands that BullMQ needs and that did not
	LatencyUS   int64    `json:"latency_us"` // median of Pings
	LatencyP99  int64    `json:"latency_p99_us,omitempty"`
	Pings       int      `json:"pings,omitempty"`
	// TriedAt is when the commands were tried. Looks soon after it measure the latency
	// only.
	TriedAt *time.Time `json:"tried_at,omitempty"`
	// RequestBytes is the largest request that was sent, and taken.
	RequestBytes int64 `json:"request_bytes,omitempty"`
	// WakeUS is how long a worker that waits for a job takes to hear of one that another
	// connection adds, microseconds.
	WakeUS int64 `json:"wake_us,omitempty"`
	// SameAs are old servers that are this very server, by the id that each run of a server
	// has: their orders would be moved to where they are.
	SameAs []string `json:"same_as,omitempty"`
}

func coverTargetConn(f TargetConnFacts) migration.Coverage {
	c := migration.Coverage{Of: "server", Found: "the managed service"}
	if f.Address != "" {
		c.Members = append(c.Members, server(f.Address, migration.Met, ""))
	}
	return c
}

func judgeTargetConn(f TargetConnFacts) (bool, string, error) {
	switch {
	case len(f.SameAs) > 0:
		return false, f.Address + " is the source itself: " + list(f.SameAs), nil
	case !f.TLSVerified:
		return false, "the TLS certificate of " + f.Address + " was not verified", nil
	case len(f.Refused) > 0:
		return false, "commands that BullMQ needs were rejected: " + list(f.Refused), nil
	case len(f.Answered) == 0:
		return false, "", errors.New("no command was tried")
	}
	measured := fmt.Sprintf("%s responds over verified TLS, %d of %d commands work, round trip %s",
		f.Address, len(f.Answered), len(f.Answered), millis(f.LatencyUS))
	if f.Pings > 1 {
		measured += fmt.Sprintf(" (median of %d, p99 %s)",
			f.Pings, millis(f.LatencyP99))
	}
	return true, measured, nil
}

func millis(us int64) string { return fmt.Sprintf("%d.%d ms", us/1000, us%1000/100) }
