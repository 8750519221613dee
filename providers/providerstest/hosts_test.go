package providerstest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/providers"
	"github.com/switchyard-dev/switchyard/providers/byhand"
	"github.com/switchyard-dev/switchyard/providers/linode"
	"github.com/switchyard-dev/switchyard/providers/providerstest"
)

// instant is a LinodeBackend whose actions take no time.
type instant struct{}

func (instant) Shutdown(context.Context, int) error { return nil }
func (instant) Boot(context.Context, int) error     { return nil }
func (instant) Delete(context.Context, int) error   { return nil }

type linodeWorld struct{ api *providerstest.Linode }

func openLinode(t *testing.T) (providers.Host, hostWorld) {
	api, err := providerstest.NewLinode(
		providerstest.LinodeConfig{Token: canary, Backend: instant{},
			StatePath: filepath.Join(t.TempDir(), "l.json"),
			Instances: []providerstest.LinodeInstance{
				{
					ID:      1,
					Label:   "redis-linode",
					Status:  "running",
					Type:    "g6-nanode-1",
					Region:  "us-east",
					Backups: providerstest.LinodeBackups{Enabled: true},
					Snapshot: &providerstest.LinodeSnapshot{
						ID:      90,
						Label:   "old",
						Status:  "successful",
						Created: "2026-01-01T00:00:00",
					},
				},
				{ID: 2, Label: "other", Status: "running", Type: "g6-unpriced"}}},
	)
	if err != nil {
		t.Error(err)
		return nil, nil
	}
	t.Cleanup(api.Close)
	srv := httptest.NewServer(api)
	t.Cleanup(srv.Close)
	client, err := linode.New(srv.URL, canary, impatient())
	if err != nil {
		t.Error(err)
		return nil, nil
	}
	client.Poll(2 * time.Millisecond)
	return linode.Host{Client: client}, linodeWorld{api}
}

func (w linodeWorld) World() map[string]string {
	out := map[string]string{}
	for _, i := range w.api.Instances() {
		out[strconv.Itoa(i.ID)] = i.Status + " snapshot="
		if i.Snapshot != nil {
			out[strconv.Itoa(i.ID)] += i.Snapshot.Label
		}
	}
	return out
}

// Person does nothing: there is an API.
func (linodeWorld) Person(context.Context, providers.Host, string, providers.Machine) error {
	return nil
}

func (w linodeWorld) Faults() *providerstest.Faults { return &w.api.Faults }

// machineRoom is a world of machines that people look after. It is also what keeps their
// word.
type machineRoom struct {
	faults providerstest.Faults
	mu     sync.Mutex
	// running says of each machine that exists whether it runs.
	running map[string]bool
	kept    map[string]json.RawMessage
	late    func() // what somebody has confirmed and not done yet
}

func openMachines(*testing.T) (providers.Host, hostWorld) {
	w := &machineRoom{running: map[string]bool{"redis": true, "other": true},
		kept: map[string]json.RawMessage{}}
	price := 12.0
	return byhand.NewHost(byhand.HostConfig{
		Machines: []byhand.Machine{
			{Label: "redis", MonthlyUSD: &price, PriceFrom: "invoice of 2026-10"}, {Label: "other"},
		},
		Keeper: w, SilentFor: 5 * time.Millisecond, Dial: w.dial,
		Alive: func(context.Context) error { return nil },
	}), w
}

// dial takes a connection for a machine that runs. Of one that is off its sshd's address
// does not answer, and the other is refused by whatever has its address.
func (w *machineRoom) dial(_ context.Context, _, address string) (net.Conn, error) {
	if w.faults.Take("DIAL", address).Kind == providerstest.CutBefore {
		return nil, &net.OpError{Op: "dial", Err: syscall.ENETUNREACH} // this side's network
	}
	host, port, _ := net.SplitHostPort(address)
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.running[host]:
		here, there := net.Pipe()
		_ = there.Close()
		return here, nil
	case port == "22":
		return nil, &net.OpError{Op: "dial", Err: context.DeadlineExceeded}
	}
	return nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
}

func (w *machineRoom) World() map[string]string {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := map[string]string{}
	for id, runs := range w.running {
		if out[id] = providers.MachineOffline; runs {
			out[id] = providers.MachineRunning
		}
	}
	return out
}

func (w *machineRoom) Faults() *providerstest.Faults { return &w.faults }

// Person makes a change and confirms it: late, not at all, or as it should be. What was
// late or forgotten is done the next time.
func (w *machineRoom) Person(
	ctx context.Context, h providers.Host, change string, m providers.Machine,
) error {
	w.mu.Lock()
	if w.late != nil {
		w.late()
		w.late = nil
	}
	do := func() { w.make(change, m) } // with mu
	switch w.faults.Take("PERSON", change).Kind {
	case providerstest.Late, providerstest.ErrorBefore:
		w.late = do
	default:
		do()
	}
	w.mu.Unlock()
	confirmed := map[string]providers.Change{
		personOff: providers.SwitchedOff, personDelete: providers.Removed,
	}[change]
	person, ok := h.(providers.Confirmer)
	if !ok {
		return errors.New("nobody's word is taken")
	}
	if confirmed == "" {
		return nil
	}
	return person.Confirm(ctx, confirmed, m, "ada", time.Now())
}

// make changes the world. A machine that is deleted stays so.
func (w *machineRoom) make(change string, m providers.Machine) {
	if _, there := w.running[m.ID]; !there {
		return
	}
	switch change {
	case personOff:
		w.running[m.ID] = false
	case personOn:
		w.running[m.ID] = true
	case personDelete:
		delete(w.running, m.ID)
	}
}

// Setting implements byhand.Keeper, on a disk that fails at times.
func (w *machineRoom) Setting(_ context.Context, key string, v any) (bool, error) {
	if w.faults.Take("READ", key).Kind == providerstest.ErrorBefore {
		return false, errors.New("the disk does not answer")
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	text, is := w.kept[key]
	if !is {
		return false, nil
	}
	return true, json.Unmarshal(text, v)
}

// SetSetting implements byhand.Keeper.
func (w *machineRoom) SetSetting(_ context.Context, key string, v any) error {
	if kind := w.faults.Take("WRITE", key).Kind; kind == providerstest.ErrorBefore {
		return fmt.Errorf("the disk is full (%s)", kind)
	}
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.kept = maps.Clone(w.kept)
	w.kept[key] = text
	return nil
}
