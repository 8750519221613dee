package evidence

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
)

// Audit is the id of the check of the Redis audit.
const Audit = "redis-audit"

var auditCheck = New(Check{
	ID:      Audit,
	Title:   "Redis audit",
	Limit:   "no critical or high problem on any node that holds jobs",
	Next:    "check the audit's findings; the step Fix the eviction policy sets what it can",
	Before:  migration.StageDualWrite,
	MaxAge:  15 * time.Minute,
	About:   []migration.Aspect{migration.AspectNodes},
	Watched: true,
}, coverAudit, judgeAudit)

// AuditFacts is what of the audit can be looked at again at any time, without the keys.
//
// It is the evidence of CheckAudit.
type AuditFacts struct {
	Nodes []NodeAudit `json:"nodes" nullable:"true"` // nil before the first look
}

// NodeAudit is one server's part of it.
type NodeAudit struct {
	Node     string         `json:"node"`
	Findings []AuditFinding `json:"findings"`
}

// AuditFinding is one check of the audit.
type AuditFinding struct {
	ID       string `json:"id"`
	Title    string `json:"title"`
	Severity string `json:"severity" enum:"critical,high,medium,low,info"`
	State    string `json:"state" enum:"ok,problem,unknown"`
	Measured string `json:"measured"`
	// WasOK: it was ok once, so a problem is a change for the worse.
	WasOK bool `json:"was_ok,omitempty"`
	// Counted changes whenever it has happened again, where the check counts since the server
	// started.
	Counted int64 `json:"counted,omitempty"`
	// Run is the run of ours during which it became a problem.
	Run string `json:"run,omitempty"`
	// OfRun is Counted as that run had left it; while they are the same, nothing has happened
	// since.
	OfRun int64 `json:"of_run,omitempty"`
	// RunOver: that run has ended.
	RunOver bool `json:"run_over,omitempty"`
}

// settled reports whether all of it happened during a run of ours that has ended.
func (x AuditFinding) settled() bool {
	return x.Run != "" && x.RunOver && x.Counted != 0 && x.Counted == x.OfRun
}

// Disturbance is a run of ours that makes servers refuse or delay commands, which was under way
// at some time since the last look.
type Disturbance struct {
	Run  string
	Over bool // it has ended
}

// During says of problems that were not there at the last look during which run of ours they
// began, and of what counts since the server started how much of it that run left. Whatever comes
// after the run is a problem of its own.
func (f AuditFacts) During(last AuditFacts, d Disturbance) AuditFacts {
	before := map[[2]string]AuditFinding{}
	for _, n := range last.Nodes {
		for _, x := range n.Findings {
			before[[2]string{n.Node, x.ID}] = x
		}
	}
	for i, n := range f.Nodes {
		for j, x := range n.Findings {
			was, seen := before[[2]string{n.Node, x.ID}]
			if x.State == "problem" && seen {
				f.Nodes[i].Findings[j] = x.during(was, d)
			}
		}
	}
	return f
}

func (x AuditFinding) during(was AuditFinding, d Disturbance) AuditFinding {
	ours := was.State != "problem" || was.Run != ""
	switch {
	case d.Run != "" && ours:
		x.Run, x.OfRun, x.RunOver = d.Run, x.Counted, d.Over
	case was.State == "problem" && was.Run != "" && (x.Counted == was.OfRun || !was.RunOver):
		// of a run that is not known any more nothing is left to wait for
		x.Run, x.OfRun, x.RunOver = was.Run, was.OfRun, true
	}
	return x
}

// After carries on what was ok before.
func (f AuditFacts) After(last AuditFacts) AuditFacts {
	was := map[[2]string]bool{}
	for _, n := range last.Nodes {
		for _, x := range n.Findings {
			was[[2]string{n.Node, x.ID}] = x.WasOK || x.State == "ok"
		}
	}
	for i, n := range f.Nodes {
		for j, x := range n.Findings {
			f.Nodes[i].Findings[j].WasOK = was[[2]string{n.Node, x.ID}]
		}
	}
	return f
}

// Alerts gives what has become worse.
func (f AuditFacts) Alerts() []migration.Alert {
	var out []migration.Alert
	for _, n := range f.Nodes {
		for _, x := range n.Findings {
			if x.State == "problem" && x.WasOK && !x.settled() {
				out = append(out, migration.Alert{
					Node:     n.Node,
					Check:    x.ID,
					Title:    x.Title,
					Severity: x.Severity,
					Measured: x.Measured,
					Run:      x.Run,
				})
			}
		}
	}
	return out
}

// Problems counts the problems by severity.
func (f AuditFacts) Problems() map[string]int {
	out := map[string]int{}
	for _, n := range f.Nodes {
		for _, x := range n.Findings {
			if x.State == "problem" {
				out[x.Severity]++
			}
		}
	}
	return out
}

// Same reports whether two say the same but for the figures.
func (f AuditFacts) Same(other AuditFacts) bool {
	return slices.EqualFunc(f.Nodes, other.Nodes, func(a, b NodeAudit) bool {
		return a.Node == b.Node &&
			slices.EqualFunc(a.Findings, b.Findings, func(x, y AuditFinding) bool {
				x.Measured, y.Measured = "", ""
				if x.Run == "" && y.Run == "" {
					x.Counted, y.Counted = 0, 0
				}
				return x == y
			})
	})
}

func coverAudit(f AuditFacts) migration.Coverage {
	c := migration.Coverage{Of: "server", Found: "the nodes behind the source"}
	for _, n := range f.Nodes {
		m := server(n.Node, migration.Met, "")
		if len(n.Findings) == 0 {
			m.Verdict, m.Why = migration.Unknown, "no finding of it was recorded"
		}
		for _, x := range n.Findings {
			if !x.grave() || x.State == "ok" || m.Verdict == migration.Unmet {
				continue
			}
			m.Verdict, m.Why = migration.Unknown, x.Title+" is not known"
			if x.State == "problem" {
				m.Verdict, m.Why = migration.Unmet, x.Title
			}
		}
		c.Members = append(c.Members, m)
	}
	return c
}

// grave says that a problem of this kind blocks.
func (x AuditFinding) grave() bool { return x.Severity == "critical" || x.Severity == "high" }

func judgeAudit(f AuditFacts) (bool, string, error) {
	if len(f.Nodes) == 0 {
		return false, "", errors.New("no server was audited")
	}
	var bad, unknown []string
	for _, n := range f.Nodes {
		for _, x := range n.Findings {
			switch {
			case !x.grave():
			case x.State == "problem":
				bad = append(bad, fmt.Sprintf("%s on %s: %s", x.Title, n.Node, x.Measured))
			case x.State != "ok":
				unknown = append(unknown, fmt.Sprintf("%s on %s", x.Title, n.Node))
			}
		}
	}
	switch {
	case len(bad) > 0:
		return false, strings.Join(bad, "; "), nil
	case len(unknown) > 0:
		return false, "", fmt.Errorf("not known: %s", list(unknown))
	}
	return true, fmt.Sprintf("no critical or high problem on %s", migration.Count(len(f.Nodes), "node")), nil
}
