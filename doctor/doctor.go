// Package doctor asks everything that a configuration names whether it is there and lets
// Switchyard in, and says what is missing for which criterion of the plan. It changes nothing.
package doctor

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/config"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
)

// State is what was found of a part of the configuration.
type State string

// States. Absent parts are not configured; of unknown ones nobody could tell.
const (
	OK      State = "ok"
	Fails   State = "fails"
	Absent  State = "absent"
	Unknown State = "unknown"
)

// Finding is one part of the configuration.
type Finding struct {
	Key   string `json:"key"` // of the configuration
	State State  `json:"state"`
	Said  string `json:"said"`           // what was measured; never a credential
	Next  string `json:"next,omitempty"` // what to do, unless it is ok
	// For are the checks of the evidence that cannot hold as it is, by id. Without any it is
	// optional.
	For []string `json:"for,omitempty"`
}

// Unmissed is the finding for somebody who knows where the jobs go: nobody misses a source that
// was disconnected on purpose.
func (f Finding) Unmissed(r migration.Routing) Finding {
	if r.HasSource() || f.State == OK || f.Key != "queues" && !strings.HasPrefix(f.Key, "source.") {
		return f
	}
	f.State, f.Next = OK, ""
	f.Said = "no longer in use: disconnected on purpose, for decommissioning"
	return f
}

// The checks of the evidence that something may be missing for.
var (
	noeviction   = []string{evidence.Policy}
	failover     = []string{evidence.Readiness, evidence.Failover}
	provisioned  = []string{evidence.TargetPlan, evidence.TargetConn}
	breaker      = []string{evidence.Attestation, evidence.Drill}
	parallel     = []string{evidence.DualWrite}
	decommission = []string{evidence.Residue, evidence.Ledger, evidence.Quiet,
		evidence.Fence, evidence.Backup, evidence.Off}
	retry = []string{evidence.Retries}

	// moving is what jobs are moved for.
	moving = slices.Concat(parallel, decommission)
	all    = slices.Concat(noeviction, failover, provisioned, breaker, moving, retry)
)

// patience bounds each question.
const patience = 10 * time.Second

// Examine asks, one part after the other, and passes on each finding as it comes. It takes
// patience for each server that does not answer.
func Examine(ctx context.Context, c config.Config, tell func(Finding)) {
	examine(ctx, c, Parts(), tell)
}

// Probe asks those of the servers alone that the configuration names, which need not be whole.
func Probe(ctx context.Context, c config.Config, tell func(Finding)) {
	parts := slices.DeleteFunc(Parts(), func(p Part) bool { return p.named == nil || !p.named(c) })
	examine(ctx, c, parts, tell)
}

func examine(ctx context.Context, c config.Config, parts []Part, tell func(Finding)) {
	for _, p := range parts {
		if ctx.Err() != nil {
			return
		}
		for _, f := range p.Ask(ctx, c) {
			tell(f)
		}
	}
}

// Missing lists, for each criterion of a plan that something is missing for, the keys of what is.
func Missing(p migration.Plan, all []Finding) map[string][]string {
	out := map[string][]string{}
	for _, c := range p.Criteria {
		for _, f := range all {
			if f.State == OK || slices.Contains(out[c.ID], f.Key) {
				continue
			}
			if slices.ContainsFunc(c.Requires, func(r migration.Requirement) bool {
				return slices.Contains(f.For, r.Check)
			}) {
				out[c.ID] = append(out[c.ID], f.Key)
			}
		}
	}
	return out
}

type examiner struct {
	config.Config
	http *http.Client
}

func ok(key, said string) Finding { return Finding{Key: key, State: OK, Said: said} }

func failed(key string, err error, next string, needed ...string) Finding {
	return Finding{Key: key, State: Fails, Said: migration.PlainError(err), Next: next, For: needed}
}
