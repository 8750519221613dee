package environment

import (
	"context"
	"encoding/json"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/switchyard-dev/switchyard/config"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/providers"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
)

// offHost says of every machine that it is off, one way or another.
type offHost struct {
	providers.Host
	as providers.Basis
}

func (h offHost) Describe(
	context.Context, providers.Machine,
) (providers.MachineState, error) {
	return providers.MachineState{Status: providers.MachineOffline, Basis: h.as}, nil
}

var byAPI = providers.Basis{Proof: migration.Observed, Source: "Linode API"}

// lookOff gives what an old server's address looks like when dialling gives that error.
func (r *rig) lookOff(t *testing.T, as providers.Basis, dial error) (
	evidence.OffFacts, providers.Basis, error,
) {
	t.Helper()
	r.Host.Service = offHost{as: as}
	r.Host.Machines = []providers.Machine{{ID: "1", Label: "redis"}}
	r.Host.silence.Dial = func(context.Context, string, string) (net.Conn, error) {
		if dial != nil {
			return nil, &net.OpError{Op: "dial", Err: dial}
		}
		here, there := net.Pipe()
		_ = there.Close()
		return here, nil
	}
	ok(t, r.Host.RememberOld(t.Context(), []string{"10.0.0.5:6379"}))
	return r.Host.Off(t.Context())
}

// Before a deletion, what is known of an old address is that it refuses, that it does not answer
// while the network works from here, or nothing.
func TestAnAddressIsSilentOnlyWhereTheReasonIsNotOnThisSide(t *testing.T) {
	t.Parallel()
	target := redistest.Start(t)
	rule, _ := evidence.Of(evidence.Off)
	for name, c := range map[string]struct {
		dial     error
		noTarget bool
		answer   string // "": it is not known
	}{
		"it refuses":                             {dial: syscall.ECONNREFUSED, answer: "refused"},
		"it refuses, and there is no target":     {dial: syscall.ECONNREFUSED, noTarget: true, answer: "refused"},
		"no answer, while the target does":       {dial: os.ErrDeadlineExceeded, answer: "unanswered"},
		"no answer, and the target neither":      {dial: os.ErrDeadlineExceeded, noTarget: true},
		"no route to the host, nor to a target":  {dial: syscall.EHOSTUNREACH, noTarget: true},
		"this side's network is down":            {dial: syscall.ENETUNREACH},
		"too many open files":                    {dial: syscall.EMFILE},
		"its name is not known":                  {dial: &net.DNSError{Err: "no such host", IsNotFound: true}},
		"no local port is left, whoever answers": {dial: syscall.EADDRNOTAVAIL},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rig := openRig(t, config.Default())
			if !c.noTarget {
				rig.Servers.target, rig.Servers.targetEndpoint = target.Client(), target.Endpoint()
			}
			facts, _, err := rig.lookOff(t, byAPI, c.dial)
			if c.answer == "" {
				if migration.KindOf(err) != migration.Unavailable {
					t.Errorf("%+v, %v", facts, err)
				}
				return
			}
			ok(t, err)
			raw, _ := json.Marshal(facts)
			met, says, err := rule.Judge(raw)
			if got := facts.Servers[1].Answer; !met || err != nil || got != c.answer {
				t.Errorf("%q: %v, %s, %v", got, met, says, err)
			}
		})
	}
}

func TestAnOldServerThatAnswersIsNotOffWhateverItsHostSays(t *testing.T) {
	t.Parallel()
	facts, _, err := openRig(t, config.Default()).lookOff(t, byAPI, nil)
	ok(t, err)
	raw, _ := json.Marshal(facts)
	rule, _ := evidence.Of(evidence.Off)
	if met, says, err := rule.Judge(raw); met || err != nil || !strings.Contains(says, "answers") {
		t.Errorf("%v, %s, %v", met, says, err)
	}
}

func TestThatAMachineIsOffIsKnownNoBetterThanItsHostKnows(t *testing.T) {
	t.Parallel()
	rig := openRig(t, config.Default())
	_, as, err := rig.lookOff(t, byAPI, syscall.ECONNREFUSED)
	ok(t, err)
	if as.Proof != migration.Observed ||
		as.Source != "Linode API; a connection attempt to each old address" {
		t.Errorf("%+v", as)
	}
	word := providers.Basis{Proof: migration.Attested, Source: "ada confirmed it"}
	if _, as, err = rig.lookOff(t, word, syscall.ECONNREFUSED); err != nil ||
		as.Proof != migration.Attested || !strings.Contains(as.Source, "ada confirmed it") {
		t.Errorf("%+v, %v", as, err)
	}
}
