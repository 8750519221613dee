package evidence

import (
	"errors"
	"fmt"
	"time"
)

// TargetPlan is the id of the check of the managed database's plan.
const TargetPlan = "target-plan"

var targetPlanCheck = Check{
	ID:    TargetPlan,
	Title: "Managed plan",
	Limit: "Fixed 1 GB, eviction off, TLS on, active",
	Next:  "run the step Provision the managed Redis",
	Judge: judge(judgeTargetPlan),
}

// TargetPlanFacts is the evidence of TargetPlan: what the managed service's API says of
// the database.
type TargetPlanFacts struct {
	Provider   string `json:"provider"`
	DatabaseID string `json:"database_id"`
	Name       string `json:"name"`
	Region     string `json:"region"`
	Fixed1GB   bool   `json:"fixed_1gb"`
	PlanNote   string `json:"plan_note"` // how the plan was told
	Eviction   bool   `json:"eviction"`
	TLS        bool   `json:"tls"`
	State      string `json:"state"`
	// AutoUpgrade: a full database moves to a larger plan, and price, by itself.
	AutoUpgrade bool `json:"auto_upgrade,omitempty"`
	// SameName are the ids of other databases of that name, which somebody pays for.
	SameName []string `json:"same_name,omitempty"`
}

func judgeTargetPlan(f TargetPlanFacts) (bool, string, error) {
	var bad []string
	if !f.Fixed1GB {
		bad = append(bad, "plan is not Fixed 1 GB ("+f.PlanNote+")")
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
	return true, fmt.Sprintf("%s database %s in %s is Fixed 1 GB, eviction off, TLS on, active",
		f.Provider, f.Name, f.Region), nil
}

// TargetConn is the id of the check of the connection to the managed database.
const TargetConn = "target-connection"

var targetConnCheck = Check{
	ID:    TargetConn,
	Title: "Managed connection",
	Limit: "verified TLS, and every command BullMQ needs answers",
	Next:  "run the step Provision the managed Redis",
	Judge: judge(judgeTargetConn),
}

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
}

func judgeTargetConn(f TargetConnFacts) (bool, string, error) {
	switch {
	case !f.TLSVerified:
		return false, "the TLS certificate of " + f.Address + " was not verified", nil
	case len(f.Refused) > 0:
		return false, "commands that BullMQ needs were refused: " + list(f.Refused), nil
	case len(f.Answered) == 0:
		return false, "", errors.New("no command was tried")
	}
	measured := fmt.Sprintf("%s answers over verified TLS, %d of %d commands work, round trip %s",
		f.Address, len(f.Answered), len(f.Answered), millis(f.LatencyUS))
	if f.Pings > 1 {
		measured += fmt.Sprintf(" (median of %d, the slowest in a hundred %s)",
			f.Pings, millis(f.LatencyP99))
	}
	return true, measured, nil
}

func millis(us int64) string { return fmt.Sprintf("%d.%d ms", us/1000, us%1000/100) }
