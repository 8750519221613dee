package environment

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/providers"
	"github.com/switchyard-dev/switchyard/providers/silence"
	"github.com/switchyard-dev/switchyard/workflows/engine"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
)

// Host is where the old servers' machines are.
type Host struct {
	Service  providers.Host
	Machines []providers.Machine
	servers  *Servers
	silence  silence.Prober
}

// Each does something to every old machine that still exists.
func (h *Host) Each(do func(providers.Machine) error) error {
	for _, m := range h.Machines {
		if err := do(m); err != nil && migration.KindOf(err) != migration.NotFound {
			return fmt.Errorf("%s: %w", m, err)
		}
	}
	return nil
}

// Confirm takes down, for every old machine, that somebody says a person made the change.
// A host with an API makes it by itself, and needs nobody's word.
func (h *Host) Confirm(ctx context.Context, change providers.Change, c migration.Consent) error {
	person, is := h.Service.(providers.Confirmer)
	if !is {
		return nil
	}
	for _, m := range h.Machines {
		if err := person.Confirm(ctx, change, m, c.By, c.At); err != nil {
			return fmt.Errorf("%s: %w", m, err)
		}
	}
	return nil
}

// oldAddresses is remembered for the time when the servers cannot be asked any more.
const oldAddresses = "old-servers"

// RememberOld keeps the addresses of the old servers for the time when they cannot be asked
// any more.
func (h *Host) RememberOld(ctx context.Context, addresses []string) error {
	return h.servers.store.SetSetting(ctx, oldAddresses, addresses)
}

// byDialling is what the answer of an address rests on.
var byDialling = providers.Basis{
	Proof: migration.Observed, Source: "a connection attempt to each old address",
}

// Off looks at every old server: what its host says of it, whether anything answers at its
// address, and how well that is known. Unavailable: it cannot be told whether an address
// answers, such as while this side's network is down; then nothing is known.
func (h *Host) Off(ctx context.Context) (evidence.OffFacts, providers.Basis, error) {
	var facts evidence.OffFacts
	states, err := h.states(ctx)
	if err != nil {
		return facts, providers.Basis{}, err
	}
	var said []providers.Basis
	for i, s := range states {
		said = append(said, s.Basis)
		facts.Servers = append(facts.Servers,
			evidence.ServerOff{Label: h.Machines[i].Label, Status: s.Status})
	}
	var addrs []string
	if ok, err := h.servers.store.Setting(ctx, oldAddresses, &addrs); err != nil || !ok {
		return facts, providers.Basis{},
			engine.OrMissing(err, "the addresses of the old servers are not known")
	}
	answers, err := h.silence.Look(ctx, addrs)
	if err != nil {
		return facts, providers.Basis{}, err
	}
	for i, a := range answers {
		s := evidence.ServerOff{Label: "Redis", Address: addrs[i], Status: "offline"}
		if s.Reachable = a == silence.Accepted; !s.Reachable {
			s.Answer = string(a)
		}
		facts.Servers = append(facts.Servers, s)
	}
	return facts, providers.Weakest(append(said, byDialling)...), nil
}

// states asks about every machine at the same time: one that does not answer takes a while.
func (h *Host) states(ctx context.Context) ([]providers.MachineState, error) {
	out, errs := make([]providers.MachineState, len(h.Machines)), make([]error, len(h.Machines))
	var all sync.WaitGroup
	for i, m := range h.Machines {
		all.Go(func() {
			var err error
			if out[i], err = h.Service.Describe(ctx, m); err != nil {
				errs[i] = fmt.Errorf("%s: %w", m, err)
			}
		})
	}
	all.Wait()
	return out, errors.Join(errs...)
}
