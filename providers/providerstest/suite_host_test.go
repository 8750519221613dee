package providerstest_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/providers"
	"github.com/switchyard-dev/switchyard/providers/providerstest"
)

// hostWorld is what the suite does behind a host's back.
type hostWorld interface {
	// World gives every machine that exists, by id: running or offline, and its snapshot.
	World() map[string]string
	// Person does what a person does where there is no API: it makes the change, and
	// confirms it. With faults it does either too early, or forgets. Where there is an
	// API nobody does anything.
	Person(ctx context.Context, h providers.Host, change string, m providers.Machine) error
	Faults() *providerstest.Faults
}

// Changes that a Person makes.
const (
	personOff    = "off"
	personOn     = "on"
	personDelete = "delete"
)

// hostSubject is an implementation of providers.Host in the suite. Of its two machines
// ours is taken through everything, and other must stay as it is.
type hostSubject struct {
	is          string
	open        func(t *testing.T) (providers.Host, hostWorld)
	ours, other providers.Machine
	can         providers.HostCan
	// off and gone are the proof of a machine that is off, or deleted.
	off, gone, price migration.Proof
	kinds            []providerstest.Kind
}

var hostSubjects = map[string]hostSubject{
	"linode": {"linode.Host", openLinode,
		providers.Machine{
			ID:    "1",
			Label: "redis-linode",
		}, providers.Machine{ID: "2", Label: "other"},
		providers.HostCan{PowerOff: true, Delete: true, Snapshot: true},
		migration.Observed, migration.Observed, migration.Observed, everyKind},
	"a person": {"*byhand.Host", openMachines,
		providers.Machine{ID: "redis", Label: "redis", Addrs: []string{"redis:6379", "redis:22"}},
		providers.Machine{ID: "other", Label: "other", Addrs: []string{"other:6379"}},
		providers.HostCan{},
		migration.Attested, migration.Attested, migration.Attested,
		[]providerstest.Kind{
			providerstest.ErrorBefore,
			providerstest.CutBefore,
			providerstest.Late,
		}},
}

// tells gives what the world says of a machine; "" when it does not exist.
func tells(w hostWorld, m providers.Machine) (status, snapshot string) {
	status, snapshot, _ = strings.Cut(w.World()[m.ID], " ")
	return status, snapshot
}

// Whatever goes wrong, a change that is said to have been made was made, on that machine
// alone.
func TestEveryHostSwitchesOffAndDeletesTheRightMachine(t *testing.T) {
	t.Parallel()
	for name, s := range hostSubjects {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachSeed(t, func(r *rand.Rand) error { return s.exercise(t, r) })
		})
	}
}

func (s hostSubject) exercise(t *testing.T, r *rand.Rand) error {
	ctx := t.Context()
	h, w := s.open(t)
	bystander := w.World()[s.other.ID]
	never := func(error) bool { return false }
	tr := trial{w.Faults(), r, s.kinds, 0, never}
	for _, p := range []struct {
		change, status string
		proof          migration.Proof
		do             func(context.Context, providers.Machine) error
	}{
		{personOff, providers.MachineOffline, s.off, h.PowerOff},
		{personOff, providers.MachineOffline, s.off, h.PowerOff}, // again: nothing to do
		{personOn, providers.MachineRunning, migration.Observed, h.PowerOn},
		{personOff, providers.MachineOffline, s.off, h.PowerOff},
		{personDelete, providers.MachineDeleted, s.gone, h.Delete},
		{personDelete, providers.MachineDeleted, s.gone, h.Delete},
		{personOff, providers.MachineDeleted, s.gone, h.PowerOff},
	} {
		said := func(err error) error {
			return fmt.Errorf("%s: %w\nfaults: %v", p.change, err, w.Faults().Seen())
		}
		err := tr.unsettled(ctx, func(ctx context.Context) error {
			if err := w.Person(ctx, h, p.change, s.ours); err != nil {
				return err
			}
			err := p.do(ctx, s.ours)
			if now, _ := tells(w, s.ours); err == nil && !holds(now, p.status, p.proof) {
				t.Error(said(fmt.Errorf("it is said to be %s, and is %q", p.status, now)))
			}
			return err
		})
		if err != nil {
			return said(err)
		}
		var state providers.MachineState
		if err := tr.again(ctx, func(ctx context.Context) (err error) {
			state, err = h.Describe(ctx, s.ours)
			return err
		}); err != nil {
			return said(err)
		}
		label := s.ours.Label
		if p.status == providers.MachineDeleted {
			label = ""
		}
		if state.Status != p.status || state.Label != label {
			return said(fmt.Errorf("described as %+v", state))
		}
		if err := based(p.change, state.Basis, p.proof); err != nil {
			return said(err)
		}
		if now := w.World()[s.other.ID]; now != bystander {
			return said(fmt.Errorf("the other machine is %q, was %q", now, bystander))
		}
	}
	return nil
}

// holds reports whether the world may look like that when a machine is said to have that
// status. What was observed is so. What a person says need not be, such as that a machine
// that is off was deleted; but none of which they say that it is off or deleted runs.
func holds(now, status string, proof migration.Proof) bool {
	if proof == migration.Attested {
		return now != providers.MachineRunning
	}
	return now == status || now == "" && status == providers.MachineDeleted
}

// hostAbilities are what a host can do: a test where it can, and one where it cannot.
var hostAbilities = map[string]struct {
	has           func(providers.HostCan) bool
	with, without func(ctx context.Context, s hostSubject, h providers.Host, w hostWorld) error
}{
	"PowerOff": {
		func(c providers.HostCan) bool { return c.PowerOff },
		switchesOff,
		switchesNoneOff,
	},
	"Delete":   {func(c providers.HostCan) bool { return c.Delete }, deletes, deletesNone},
	"Snapshot": {func(c providers.HostCan) bool { return c.Snapshot }, snaps, snapsNone},
}

func TestEveryHostDoesWhatItCanAndRefusesTheRest(t *testing.T) {
	t.Parallel()
	everyAbility(t, providers.HostCan{}, slices.Collect(maps.Keys(hostAbilities)))
	for name, s := range hostSubjects {
		for ability, a := range hostAbilities {
			t.Run(name+"/"+ability, func(t *testing.T) {
				t.Parallel()
				h, w := s.open(t)
				if can := h.About().Can; can != s.can {
					t.Fatalf("it says that it can %+v, declared is %+v", can, s.can)
				}
				test := a.without
				if a.has(s.can) {
					test = a.with
				}
				if err := test(t.Context(), s, h, w); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

func switchesOff(ctx context.Context, s hostSubject, h providers.Host, w hostWorld) error {
	for _, c := range []struct {
		do   func(context.Context, providers.Machine) error
		want string
	}{{h.PowerOff, providers.MachineOffline}, {h.PowerOn, providers.MachineRunning}} {
		if err := c.do(ctx, s.ours); err != nil {
			return err
		}
		if now, _ := tells(w, s.ours); now != c.want {
			return fmt.Errorf("it is %q, want %s", now, c.want)
		}
	}
	return nil
}

// switchesNoneOff: nothing counts before a person's word, and their word not against what
// is seen.
func switchesNoneOff(ctx context.Context, s hostSubject, h providers.Host, w hostWorld) error {
	person, ok := h.(providers.Confirmer)
	if !ok {
		return errors.New("it cannot switch a machine off, and takes nobody's word either")
	}
	before := w.World()
	if err := refused(h.PowerOff(ctx, s.ours), providers.ErrByHand); err != nil {
		return err
	}
	at := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	if err := person.Confirm(ctx, providers.SwitchedOff, s.ours, "ada", at); err != nil {
		return err
	}
	err := h.PowerOff(ctx, s.ours)
	if migration.KindOf(err) != migration.Conflict || !strings.Contains(err.Error(), "ada") {
		return fmt.Errorf("confirmed while it runs: %w", err)
	}
	state, err := h.Describe(ctx, s.ours)
	if err != nil || state.Status != providers.MachineRunning || !maps.Equal(w.World(), before) {
		return fmt.Errorf("confirmed while it runs: %+v (%w)", state, err)
	}
	nowhere := providers.Machine{ID: s.ours.ID, Label: s.ours.Label}
	off := func(m providers.Machine, by string) error {
		return person.Confirm(ctx, providers.SwitchedOff, m, by, at)
	}
	for what, err := range map[string]error{
		"nobody":                  off(s.ours, ""),
		"no change":               person.Confirm(ctx, "painted", s.ours, "ada", at),
		"an unknown machine":      off(stranger(s.ours), "ada"),
		"a machine of no address": off(nowhere, "ada"),
	} {
		if migration.KindOf(err) != migration.Invalid {
			return fmt.Errorf("a confirmation of %s: %w", what, err)
		}
	}
	return nil
}

// stranger is a machine with the id of another and a label that is nobody's.
func stranger(m providers.Machine) providers.Machine {
	m.Label = "nobody's"
	return m
}

func deletes(ctx context.Context, s hostSubject, h providers.Host, w hostWorld) error {
	if err := h.Delete(ctx, s.ours); migration.KindOf(err) != migration.Conflict {
		return fmt.Errorf("deleting a machine that runs: %w", err)
	}
	if now, _ := tells(w, s.ours); now != providers.MachineRunning {
		return fmt.Errorf("refused, and it is %q", now)
	}
	if err := errors.Join(h.PowerOff(ctx, s.ours), h.Delete(ctx, s.ours)); err != nil {
		return err
	}
	if _, there := w.World()[s.ours.ID]; there {
		return errors.New("it is still there")
	}
	if err := h.PowerOn(ctx, s.ours); migration.KindOf(err) != migration.NotFound {
		return fmt.Errorf("switching on what is deleted: %w", err)
	}
	return nil
}

// deletesNone: a person's word that it is off does not say that it is deleted.
func deletesNone(ctx context.Context, s hostSubject, h providers.Host, w hostWorld) error {
	if err := refused(h.Delete(ctx, s.ours), providers.ErrByHand); err != nil {
		return err
	}
	if err := w.Person(ctx, h, personOff, s.ours); err != nil {
		return err
	}
	if err := refused(h.Delete(ctx, s.ours), providers.ErrByHand); err != nil {
		return fmt.Errorf("off: %w", err)
	}
	if _, there := w.World()[s.ours.ID]; !there {
		return errors.New("it is gone")
	}
	if err := w.Person(ctx, h, personDelete, s.ours); err != nil {
		return err
	}
	if err := h.PowerOn(ctx, s.ours); migration.KindOf(err) != migration.NotFound {
		return fmt.Errorf("switching on what is deleted: %w", err)
	}
	return h.Delete(ctx, s.ours)
}

func snaps(ctx context.Context, s hostSubject, h providers.Host, w hostWorld) error {
	for range 2 { // the second finds the first
		if err := h.Snapshot(ctx, s.ours, "before-delete"); err != nil {
			return err
		}
		if _, snapshot := tells(w, s.ours); snapshot != "snapshot=before-delete" {
			return fmt.Errorf("it has %s", snapshot)
		}
	}
	return nil
}

func snapsNone(ctx context.Context, s hostSubject, h providers.Host, w hostWorld) error {
	before := w.World()
	err := h.Snapshot(ctx, s.ours, "before-delete")
	if err := refused(err, providers.ErrUnsupported); err != nil {
		return err
	}
	if !maps.Equal(w.World(), before) {
		return errors.New("something changed")
	}
	return nil
}

// A snapshot that another one replaced, or whose request was lost, is taken again, and
// once.
func TestEveryHostWithSnapshotsKeepsOneWhateverGoesWrong(t *testing.T) {
	t.Parallel()
	never := func(error) bool { return false }
	for name, s := range hostSubjects {
		if !s.can.Snapshot { // refused: see the abilities
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachSeed(t, func(r *rand.Rand) error {
				h, w := s.open(t)
				tr := trial{w.Faults(), r, s.kinds, 0, never}
				for _, label := range []string{"first", "first", "second"} {
					if err := tr.unsettled(t.Context(), func(ctx context.Context) error {
						return h.Snapshot(ctx, s.ours, label)
					}); err != nil {
						return fmt.Errorf("%w\nfaults: %v", err, w.Faults().Seen())
					}
					if _, has := tells(w, s.ours); has != "snapshot="+label {
						return fmt.Errorf("it has %s, want %s", has, label)
					}
				}
				return nil
			})
		})
	}
}

func TestNoHostTouchesAMachineOfAnotherLabel(t *testing.T) {
	t.Parallel()
	for name, s := range hostSubjects {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, w := s.open(t)
			before, wrong := w.World(), stranger(s.ours)
			for what, err := range map[string]error{
				"off": h.PowerOff(t.Context(), wrong), "on": h.PowerOn(t.Context(), wrong),
				"delete":   h.Delete(t.Context(), wrong),
				"snapshot": h.Snapshot(t.Context(), wrong, "x"),
			} {
				if migration.KindOf(err) != migration.Conflict ||
					!strings.Contains(err.Error(), "nobody's") {
					t.Errorf("%s: %v", what, err)
				}
			}
			if !maps.Equal(w.World(), before) {
				t.Errorf("%v, was %v", w.World(), before)
			}
		})
	}
}

func TestEveryHostSaysWhatAMachineCostsAndHowItKnows(t *testing.T) {
	t.Parallel()
	for name, s := range hostSubjects {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, _ := s.open(t)
			price, err := h.Price(t.Context(), s.ours)
			if err != nil || price.Machine <= 0 || price.Plan == "" {
				t.Errorf("%+v, %v", price, err)
			}
			if err := based("the price", price.Basis, s.price); err != nil {
				t.Error(err)
			}
			if _, err := h.Price(t.Context(), s.other); migration.KindOf(
				err,
			) != migration.NotFound &&
				migration.KindOf(err) != migration.Unavailable {
				t.Errorf("a machine whose price nobody says: %v", err)
			}
		})
	}
}
