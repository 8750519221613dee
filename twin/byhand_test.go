package twin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/config"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/providers"
	"github.com/switchyard-dev/switchyard/redisconn"
)

// byHand starts a twin whose managed Redis is at a URL.
func byHand(t *testing.T, dir string) (*Twin, config.Config) {
	t.Helper()
	cfg := estateConfig(t, dir)
	cfg.Managed = ManagedURL
	tw, err := Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tw.Close() })
	c, err := config.Load(tw.ConfigFile(), func(string) string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	return tw, c
}

// What the configuration of such a twin opens is true of it, from its first start to its third.
func TestATwinWithoutAnAccountAnywhere(t *testing.T) {
	built(t)
	dir := t.TempDir()
	tw, c := byHand(t, dir)
	if !tw.ByHand() || tw.upstash != nil || tw.linode != nil || tw.heroku != nil {
		t.Error("it has stand-ins of paid services")
	}
	adopts(t, c)
	switchesMachines(t, tw, c)
	takesTheVariable(t, tw)
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}

	other := estateConfig(t, dir)
	other.Managed = ManagedUpstash
	if _, err := Start(t.Context(), other); migration.KindOf(err) != migration.Conflict {
		t.Errorf("started as another kind of twin: %v", err)
	}

	tw, c = byHand(t, dir)
	adopts(t, c)
	if !strings.Contains(environment(t, tw), targetVar+"=rediss://") {
		t.Error("the app's variable was not kept")
	}
	if pid := pidOf(t, tw, "sentinel-3"); pid != 0 {
		t.Error("a machine that was switched off came back with the next start")
	}
	if err := tw.UnsetTarget(t.Context()); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(environment(t, tw), targetVar+"=") {
		t.Error("the variable that was removed is in the app's environment")
	}
	if err := tw.Discard(t.Context(), "sentinel-3"); err != nil {
		t.Fatal(err)
	}
	if err := tw.SwitchOn(t.Context(), "sentinel-3"); migration.KindOf(err) != migration.NotFound {
		t.Errorf("a deleted machine was switched on: %v", err)
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}

	again := estateConfig(t, dir) // as the folder has it
	tw, err := Start(t.Context(), again)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tw.Close() })
	if !tw.ByHand() || pidOf(t, tw, "sentinel-3") != 0 {
		t.Error("the folder's kind, or a deleted machine, was forgotten")
	}
}

// adopts: the managed Redis is there from the start, and is as the configuration says.
func adopts(t *testing.T, c config.Config) {
	t.Helper()
	m := c.Managed(nil)
	db, created, err := m.Ensure(t.Context(), nil)
	if err != nil || created || db.Plan.Title != "Fixed 1 GB" || db.Plan.MonthlyUSD != 20 {
		t.Fatalf("%+v, %v", db, err)
	}
	access, err := m.Access(t.Context(), db.ID)
	if err != nil {
		t.Fatal(err)
	}
	e := redisconn.Endpoint{Name: "managed", Kind: redisconn.Managed, URL: access.URL,
		CAFile: access.CAFile}
	if err := open(t, e).Set(t.Context(), "kept", "yes", time.Minute).Err(); err != nil {
		t.Error(err)
	}
}

// switchesMachines has a person switch one machine off, on and off again, and Switchyard notice.
func switchesMachines(t *testing.T, tw *Twin, c config.Config) {
	t.Helper()
	ctx := t.Context()
	host, err := c.Host(nil, memory{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	all := c.Source.OldMachines()
	var labels []string
	for _, m := range all {
		labels = append(labels, m.Label)
	}
	if !slices.Equal(labels, tw.Machines()) {
		t.Fatalf("machines %v, the configuration has %v", tw.Machines(), labels)
	}
	m := all[3]
	status := func(want string) {
		t.Helper()
		soon(t, 10*time.Second, m.Label+" to be "+want, func() error {
			state, err := host.Describe(ctx, m)
			if err == nil && state.Status != want {
				err = fmt.Errorf("it is %s (%s)", state.Status, state.Basis.Source)
			}
			return err
		})
	}
	status(providers.MachineRunning)
	if err := tw.SwitchOff(ctx, m.Label); err != nil {
		t.Fatal(err)
	}
	status(providers.MachineSilent)
	if err := tw.SwitchOn(ctx, m.Label); err != nil {
		t.Fatal(err)
	}
	status(providers.MachineRunning)
	if err := tw.SwitchOff(ctx, m.Label); err != nil {
		t.Fatal(err)
	}
	person := host.(providers.Confirmer)
	err = person.Confirm(ctx, providers.SwitchedOff, m, "ada", time.Now())
	if err := errors.Join(err, host.PowerOff(ctx, m)); err != nil {
		t.Error(err)
	}
	status(providers.MachineOffline)
	if err := tw.SwitchOff(ctx, "nobody's"); migration.KindOf(err) != migration.NotFound {
		t.Errorf("an unknown machine: %v", err)
	}
}

// takesTheVariable: the app restarts with the managed server's URL in its environment.
func takesTheVariable(t *testing.T, tw *Twin) {
	t.Helper()
	if strings.Contains(environment(t, tw), targetVar+"=") {
		t.Error("the app has the managed server's URL before anybody set it")
	}
	if err := tw.SetTarget(t.Context()); err != nil {
		t.Fatal(err)
	}
	soon(t, 20*time.Second, "the app with its new variable", func() error {
		if !strings.Contains(environment(t, tw), targetVar+"=rediss://") {
			return errors.New("the variable is not in its environment")
		}
		return tw.client(tw.cfg.instances()[0]).Healthy(t.Context())
	})
}

// memory keeps what people confirm.
type memory map[string][]byte

func (m memory) Setting(_ context.Context, key string, v any) (bool, error) {
	text, is := m[key]
	if !is {
		return false, nil
	}
	return true, json.Unmarshal(text, v)
}

func (m memory) SetSetting(_ context.Context, key string, v any) (err error) {
	m[key], err = json.Marshal(v)
	return err
}
