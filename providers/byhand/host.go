// Package byhand is for what has no API, so that a person does it: switching machines off
// and deleting them (Host), and setting an app's config vars (Vars).
//
// A person's word is attested, and never enough where Switchyard can look for itself: a
// machine counts as off when somebody confirmed it and nothing has taken a connection at
// its addresses since, over a while. A config var counts as set when the running app says
// that it uses it.
package byhand

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/providers"
	"github.com/switchyard-dev/switchyard/providers/silence"
)

// Name is the value of configuration keys that say who does it: a person.
const Name = "by-hand"

// Keeper keeps small facts across restarts.
type Keeper interface {
	// Setting reads the fact of that key into v, and says whether there is one.
	Setting(ctx context.Context, key string, v any) (bool, error)
	// SetSetting replaces it.
	SetSetting(ctx context.Context, key string, v any) error
}

// Machine is the part of the configuration that says what there is to know of a machine.
type Machine struct {
	// Label is what people call it, and what tells it from others.
	Label string `yaml:"label"`
	// Addrs are host:port of what else answers there, such as its sshd. What Redis has
	// there is known without.
	Addrs []string `yaml:"addrs"`
	// MonthlyUSD is its price, if that is known, and PriceFrom where from: invoice of
	// 2026-10.
	MonthlyUSD *float64 `yaml:"monthly_usd"`
	PriceFrom  string   `yaml:"price_from"`
}

// HostConfig is what a Host needs.
type HostConfig struct {
	Machines []Machine
	Keeper   Keeper
	// SilentFor is for how long nothing may answer before a confirmed machine counts as
	// off.
	SilentFor time.Duration
	// Dial opens connections. Nil: over the network of this machine.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Alive tells an address that does not answer from a network that is down on this
	// side: see silence.Prober. Nil: only an address that refuses is known to be silent.
	Alive func(ctx context.Context) error
}

// Host is a host without an API. It implements providers.Confirmer.
type Host struct {
	cfg    HostConfig
	prober silence.Prober
	mu     sync.Mutex // over what the keeper has
}

// NewHost returns a host of these machines.
func NewHost(cfg HostConfig) *Host {
	return &Host{cfg: cfg, prober: silence.Prober{Dial: cfg.Dial, Alive: cfg.Alive}}
}

// confirmedKey is what the confirmations are kept under.
const confirmedKey = "confirmed-by-hand"

// confirmation is somebody's word.
type confirmation struct {
	Change providers.Change `json:"change"`
	By     string           `json:"by"`
	At     time.Time        `json:"at"`
}

func (c confirmation) String() string {
	return fmt.Sprintf("%s confirmed on %s that it is %s", c.By,
		c.At.UTC().Format("2006-01-02 15:04 UTC"), c.Change)
}

// About implements providers.Host.
func (h *Host) About() providers.HostAbout {
	return providers.HostAbout{Service: "a person", Key: "source.machines"}
}

// Describe implements providers.Host. It looks at the machine's addresses once.
func (h *Host) Describe(ctx context.Context, m providers.Machine) (providers.MachineState, error) {
	said, is, err := h.confirmed(ctx, m)
	if err != nil {
		return providers.MachineState{}, err
	}
	s, err := h.prober.Watch(ctx, m.Addrs, 0, 0)
	if err != nil {
		return providers.MachineState{}, err
	}
	state := providers.MachineState{Status: providers.MachineRunning, Label: m.Label,
		Basis: providers.Basis{
			Proof:  migration.Observed,
			Source: "connection attempts: " + s.String(),
		}}
	switch {
	case s.Accepted != "":
		if err := h.refuted(ctx, m, said); err != nil {
			return providers.MachineState{}, err
		}
	case !is:
		state.Status = providers.MachineSilent
	default:
		state.Status = providers.MachineOffline
		if said.Change == providers.Removed {
			state.Status, state.Label = providers.MachineDeleted, ""
		}
		state.Basis = attested(said, s)
	}
	return state, nil
}

// attested is the basis of a person's word that nothing speaks against.
func attested(c confirmation, s silence.Seen) providers.Basis {
	return providers.Basis{Proof: migration.Attested, Source: c.String() + "; " + s.String()}
}

// Price implements providers.Host: the configuration says it, or nobody does.
func (h *Host) Price(_ context.Context, m providers.Machine) (providers.MachinePrice, error) {
	known, err := h.known(m)
	if err != nil {
		return providers.MachinePrice{}, err
	}
	if known.MonthlyUSD == nil {
		return providers.MachinePrice{}, migration.Errorf(migration.NotFound,
			"nobody says what %s costs: set its monthly_usd in the configuration", m.Label)
	}
	return providers.MachinePrice{Plan: m.Label, Machine: *known.MonthlyUSD,
		Basis: providers.Basis{Proof: migration.Attested,
			Source: cmp.Or(known.PriceFrom, "monthly_usd in the configuration")}}, nil
}

// Snapshot implements providers.Host: there are none.
func (h *Host) Snapshot(_ context.Context, m providers.Machine, _ string) error {
	if _, err := h.known(m); err != nil {
		return err
	}
	return providers.Refused(
		providers.ErrUnsupported,
		"Switchyard can take no snapshot of %s: it has "+
			"no API of its host. Take one there by hand, or rely on the verified backup",
		m.Label,
	)
}

// PowerOff implements providers.Host.
func (h *Host) PowerOff(ctx context.Context, m providers.Machine) error {
	said, is, err := h.confirmed(ctx, m)
	if err != nil {
		return err
	}
	if !is {
		return providers.Refused(providers.ErrByHand,
			"%s is to be switched off at its host by a person, who then confirms it here", m.Label)
	}
	return h.holds(ctx, m, said)
}

// Delete implements providers.Host.
func (h *Host) Delete(ctx context.Context, m providers.Machine) error {
	said, is, err := h.confirmed(ctx, m)
	if err != nil {
		return err
	}
	if !is || said.Change != providers.Removed {
		return providers.Refused(
			providers.ErrByHand,
			"%s is to be deleted at its host by a person, or "+
				"its disks wiped, who then confirms it here",
			m.Label,
		)
	}
	return h.holds(ctx, m, said)
}

// holds looks for a while whether anything speaks against somebody's word.
func (h *Host) holds(ctx context.Context, m providers.Machine, said confirmation) error {
	s, err := h.prober.Watch(ctx, m.Addrs, h.cfg.SilentFor, every(h.cfg.SilentFor))
	if err != nil {
		return err
	}
	if s.Accepted == "" {
		return nil
	}
	err = h.refuted(ctx, m, said)
	return errors.Join(
		migration.Errorf(migration.Conflict, "%s: %s, but %s", m.Label, said, s), err)
}

// refuted drops the word that a machine is off which answers: when it falls silent again,
// nobody has said why. That one was deleted stays: it does not come back, and what answers
// has its address now.
func (h *Host) refuted(ctx context.Context, m providers.Machine, said confirmation) error {
	if said.Change != providers.SwitchedOff {
		return nil
	}
	return h.forget(ctx, m, &said)
}

// every is how often a machine is looked at over a while.
func every(over time.Duration) time.Duration {
	return min(max(over/20, 50*time.Millisecond), 5*time.Second)
}

// PowerOn implements providers.Host: once all of the machine's addresses answer again,
// nobody's word counts any more that it is off.
func (h *Host) PowerOn(ctx context.Context, m providers.Machine) error {
	said, is, err := h.confirmed(ctx, m)
	if err != nil {
		return err
	}
	if is && said.Change == providers.Removed {
		return migration.Errorf(migration.NotFound, "%s: %s", m.Label, said)
	}
	for _, a := range m.Addrs {
		s, err := h.prober.Watch(ctx, []string{a}, 0, 0)
		if err != nil {
			return err
		}
		if s.Accepted == "" {
			return providers.Refused(
				providers.ErrByHand,
				"%s is to be switched on at its host by a "+
					"person: nothing takes connections at %s",
				m.Label,
				a,
			)
		}
	}
	return h.forget(ctx, m, nil)
}

// Confirm implements providers.Confirmer.
func (h *Host) Confirm(
	ctx context.Context, c providers.Change, m providers.Machine, by string, at time.Time,
) error {
	if _, err := h.known(m); err != nil {
		return migration.Errorf(migration.Invalid, "%w", err)
	}
	if by == "" || c != providers.SwitchedOff && c != providers.Removed {
		return migration.Errorf(migration.Invalid,
			"a confirmation needs a name, and a change that there is: %q is none", c)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	all, err := h.all(ctx)
	if err != nil {
		return err
	}
	if old, is := all[m.Label]; is && old.Change == providers.Removed &&
		c == providers.SwitchedOff {
		return nil // deleted says more
	}
	all[m.Label] = confirmation{Change: c, By: by, At: at.UTC()}
	return h.save(ctx, all)
}

// forget drops what was said of a machine; with only, that word alone.
func (h *Host) forget(ctx context.Context, m providers.Machine, only *confirmation) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	all, err := h.all(ctx)
	if err != nil {
		return err
	}
	now, is := all[m.Label]
	if !is || only != nil && now != *only {
		return nil
	}
	delete(all, m.Label)
	return h.save(ctx, all)
}

// confirmed gives the last that somebody said of a machine.
func (h *Host) confirmed(ctx context.Context, m providers.Machine) (confirmation, bool, error) {
	if _, err := h.known(m); err != nil {
		return confirmation{}, false, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	all, err := h.all(ctx)
	c, is := all[m.Label]
	return c, is, err
}

// known gives what the configuration says of a machine. One that it does not have is a
// conflict, as with a host that has an API; one without addresses could not be looked at.
func (h *Host) known(m providers.Machine) (Machine, error) {
	i := slices.IndexFunc(h.cfg.Machines, func(k Machine) bool { return k.Label == m.Label })
	if i < 0 || m.Label == "" || m.ID != m.Label {
		return Machine{}, migration.Errorf(migration.Conflict,
			"no machine of the configuration is named %q (%s): nothing was done", m.Label, m.ID)
	}
	if len(m.Addrs) == 0 {
		return Machine{}, migration.Errorf(
			migration.Conflict,
			"no address of %s is configured, so "+
				"nothing could show that it is off: set addrs",
			m.Label,
		)
	}
	return h.cfg.Machines[i], nil
}

func (h *Host) all(ctx context.Context) (map[string]confirmation, error) {
	all := map[string]confirmation{}
	if _, err := h.cfg.Keeper.Setting(ctx, confirmedKey, &all); err != nil {
		return nil, err
	}
	return maps.Clone(all), nil
}

func (h *Host) save(ctx context.Context, all map[string]confirmation) error {
	return h.cfg.Keeper.SetSetting(ctx, confirmedKey, all)
}
