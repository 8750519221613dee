package providerstest_test

import (
	"context"
	"errors"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/providers/linode"
	"github.com/switchyard-dev/switchyard/providers/providerstest"
)

// machines is a LinodeBackend whose actions take as long as the test wants.
type machines struct {
	calls chan string
	hold  chan struct{} // an action ends when it can receive
	fail  error
}

func (m *machines) do(ctx context.Context, what string) error {
	m.calls <- what
	select {
	case <-m.hold:
		return m.fail
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (m *machines) Shutdown(ctx context.Context, _ int) error { return m.do(ctx, "shutdown") }
func (m *machines) Boot(ctx context.Context, _ int) error     { return m.do(ctx, "boot") }
func (m *machines) Delete(context.Context, int) error         { m.calls <- "delete"; return nil }

type linodeRig struct {
	api     *providerstest.Linode
	backend *machines
	client  *linode.Client
	cfg     providerstest.LinodeConfig
	base    string
}

func newLinode(t *testing.T) linodeRig {
	t.Helper()
	rig := linodeRig{backend: &machines{calls: make(chan string, 10), hold: make(chan struct{})}}
	rig.cfg = providerstest.LinodeConfig{Token: key, Backend: rig.backend, StatePath: filepath.Join(t.TempDir(), "linode.json"),
		Instances: []providerstest.LinodeInstance{{ID: 1, Label: "redis-linode", Status: "running", IPv4: []string{"127.0.0.1"}}, {ID: 2, Label: "sentinel-1", Status: "running"}}}
	var err error
	if rig.api, err = providerstest.NewLinode(rig.cfg); err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(rig.api)
	t.Cleanup(srv.Close)
	t.Cleanup(rig.api.Close)
	rig.base = srv.URL
	if rig.client, err = linode.New(srv.URL, key, srv.Client()); err != nil {
		t.Fatal(err)
	}
	return rig
}

func (r linodeRig) status(t *testing.T, id int) string {
	t.Helper()
	inst, err := r.client.Instance(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return inst.Status
}

func TestLinodeShutdownBootAndDelete(t *testing.T) {
	t.Parallel()
	rig, ctx := newLinode(t), t.Context()
	inst, err := rig.client.Instance(ctx, 1)
	if err != nil || inst.Label != "redis-linode" || inst.Status != linode.Running || !slices.Equal(inst.IPv4, []string{"127.0.0.1"}) {
		t.Fatalf("%+v, %v", inst, err)
	}
	if err := rig.client.Boot(ctx, 1); err != nil {
		t.Errorf("boot of a running machine: %v", err)
	}
	for range 2 { // the second is on its way there: nothing to do
		if err := rig.client.Shutdown(ctx, 1); err != nil {
			t.Fatal(err)
		}
	}
	if got := rig.status(t, 1); got != "shutting_down" {
		t.Errorf("status %q right after the call", got)
	}
	if err := rig.client.Delete(ctx, 1, "redis-linode"); migration.KindOf(err) != migration.Conflict {
		t.Errorf("delete of a machine that is not off: %v", err)
	}
	rig.backend.hold <- struct{}{}
	if err := rig.client.WaitStatus(ctx, 1, linode.Offline); err != nil {
		t.Fatal(err)
	}
	if err := rig.client.Shutdown(ctx, 1); err != nil {
		t.Errorf("shutdown of a machine that is off: %v", err)
	}
	if err := rig.client.Boot(ctx, 1); err != nil {
		t.Fatal(err)
	}
	rig.backend.hold <- struct{}{}
	if err := rig.client.WaitStatus(ctx, 1, linode.Running); err != nil {
		t.Fatal(err)
	}
	if err := rig.client.Shutdown(ctx, 1); err != nil {
		t.Fatal(err)
	}
	rig.backend.hold <- struct{}{}
	if err := rig.client.WaitStatus(ctx, 1, linode.Offline); err != nil {
		t.Fatal(err)
	}
	for _, label := range []string{"", "sentinel-1", "Redis-Linode"} {
		if err := rig.client.Delete(ctx, 1, label); migration.KindOf(err) != migration.Conflict {
			t.Errorf("delete with label %q: %v", label, err)
		}
	}
	if err := rig.client.Delete(ctx, 1, "redis-linode"); err != nil {
		t.Fatal(err)
	}
	if err := rig.client.Delete(ctx, 1, "redis-linode"); !linode.NotFound(err) {
		t.Errorf("delete again: %v", err)
	}
	close(rig.backend.calls)
	var calls []string
	for c := range rig.backend.calls {
		calls = append(calls, c)
	}
	if want := []string{"shutdown", "boot", "shutdown", "delete"}; !slices.Equal(calls, want) {
		t.Errorf("the backend saw %v, want %v", calls, want)
	}
	rig.backend.calls = nil
	if left := rig.api.Instances(); len(left) != 1 || left[0].ID != 2 {
		t.Errorf("left: %+v", left)
	}
}

func TestLinodeErrors(t *testing.T) {
	t.Parallel()
	rig, ctx := newLinode(t), t.Context()
	if _, err := rig.client.Instance(ctx, 99); !linode.NotFound(err) {
		t.Errorf("unknown instance: %v", err)
	}
	stranger, err := linode.New(rig.base, "wrong", nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = stranger.Instance(ctx, 1)
	if apiErr, ok := errors.AsType[*linode.APIError](err); !ok || apiErr.Code != 401 {
		t.Errorf("wrong token: %v", err)
	}
	for _, base := range []string{"api.linode.com", "http://api.linode.com", "::"} {
		if _, err := linode.New(base, key, nil); migration.KindOf(err) != migration.Invalid {
			t.Errorf("base %q: %v", base, err)
		}
	}
}

func TestLinodeRateLimitIsOutlasted(t *testing.T) {
	t.Parallel()
	rig := newLinode(t)
	rig.api.Limit(1, 1)
	if got := rig.status(t, 1); got != "running" {
		t.Errorf("status %q", got)
	}
}

func TestLinodeWaitIsBoundedByTheCaller(t *testing.T) {
	t.Parallel()
	rig := newLinode(t)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	if err := rig.client.WaitStatus(ctx, 1, linode.Offline); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestLinodeActionThatFailsPutsTheStatusBack(t *testing.T) {
	t.Parallel()
	rig := newLinode(t)
	rig.backend.fail = errors.New("host is down")
	if err := rig.client.Shutdown(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	rig.backend.hold <- struct{}{}
	eventually(t, func() bool { return rig.api.Instances()[1].Status == "running" })
}

func TestLinodeActionIsTakenUpAfterARestart(t *testing.T) {
	t.Parallel()
	rig := newLinode(t)
	if err := rig.client.Shutdown(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	<-rig.backend.calls
	rig.api.Close()
	if got := rig.api.Instances()[1].Status; got != "shutting_down" {
		t.Fatalf("status %q after an interrupted shutdown", got)
	}
	again, err := providerstest.NewLinode(rig.cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(again.Close)
	rig.backend.hold <- struct{}{}
	eventually(t, func() bool { return again.Instances()[1].Status == "offline" })
}

func TestLinodeSnapshot(t *testing.T) {
	t.Parallel()
	rig, ctx := newLinode(t), t.Context()
	rig.client.Poll(time.Millisecond)
	if _, err := rig.client.Snapshot(ctx, 1, "before-delete"); migration.KindOf(err) != migration.Blocked || !strings.Contains(err.Error(), "Backups service") {
		t.Errorf("with the Backups service off: %v", err)
	}
	post := func(path, body string) {
		t.Helper()
		r := httptest.NewRequestWithContext(t.Context(), "POST", "/v4/linode/instances/1/"+path, strings.NewReader(body))
		r.Header.Set("Authorization", "Bearer "+key)
		rig.api.ServeHTTP(httptest.NewRecorder(), r)
	}
	post("backups/enable", "")
	if inst, err := rig.client.Instance(ctx, 1); err != nil || !inst.Backups {
		t.Fatalf("%+v, %v", inst, err)
	}
	for range 2 { // the second finds the first
		snap, err := rig.client.Snapshot(ctx, 1, "before-delete")
		if err != nil || snap.Status != "successful" || snap.Label != "before-delete" || snap.Finished.IsZero() || rig.api.SnapshotsTaken() != 1 {
			t.Errorf("%+v, %v, %d taken", snap, err, rig.api.SnapshotsTaken())
		}
	}
	post("backups", `{"label":"nightly"}`)
	if _, err := rig.client.Snapshot(ctx, 1, "another"); migration.KindOf(err) != migration.Conflict || !strings.Contains(err.Error(), "nightly") {
		t.Errorf("while another is taken: %v", err)
	}
}

// A snapshot replaces the former one, so a request for it whose answer was lost must not be sent twice.
func TestLinodeChangesAreNotRepeatedWhenTheirAnswerIsLost(t *testing.T) {
	t.Parallel()
	for _, kind := range []providerstest.Kind{providerstest.CutAfter, providerstest.ErrorAfter, providerstest.BadGateway, providerstest.Truncated, providerstest.Silent} {
		api, err := providerstest.NewLinode(providerstest.LinodeConfig{Token: key, Backend: instant{}, Instances: []providerstest.LinodeInstance{
			{ID: 1, Label: "redis-linode", Status: "running", Backups: providerstest.LinodeBackups{Enabled: true}}}})
		if err != nil {
			t.Fatal(err)
		}
		srv := httptest.NewServer(api)
		client, err := linode.New(srv.URL, key, impatient())
		if err != nil {
			t.Fatal(err)
		}
		client.Poll(time.Millisecond)
		api.Inject(func(r providerstest.Request) providerstest.Fault {
			if r.Method == "POST" {
				return providerstest.Fault{Kind: kind}
			}
			return providerstest.Fault{}
		})
		if _, err := client.Snapshot(t.Context(), 1, "before-delete"); err != nil || api.SnapshotsTaken() != 1 || len(api.Seen()) != 1 {
			t.Errorf("%s: %v, %d taken by %d requests", kind, err, api.SnapshotsTaken(), len(api.Seen()))
		}
		srv.Close()
		api.Close()
	}
}
