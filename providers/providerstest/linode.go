package providerstest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// LinodeBackend does what the cloud does to a machine. Every method returns once it is done
// and may be called again.
type LinodeBackend interface {
	Shutdown(ctx context.Context, id int) error
	Boot(ctx context.Context, id int) error
	Delete(ctx context.Context, id int) error
}

// LinodeInstance is one machine. Status is the API's word: running, offline, shutting_down,
// booting.
type LinodeInstance struct {
	ID     int      `json:"id"`
	Label  string   `json:"label"`
	Status string   `json:"status"`
	IPv4   []string `json:"ipv4"`
	Region string   `json:"region"`
	Type   string   `json:"type"`

	Backups LinodeBackups `json:"backups"`
	// Snapshot and SnapshotBegun are the manual snapshot and the one under way; the API
	// shows them under backups.
	Snapshot      *LinodeSnapshot `json:"stand_in_snapshot,omitempty"`
	SnapshotBegun *LinodeSnapshot `json:"stand_in_snapshot_begun,omitempty"`
}

// LinodeBackups is the Backups service of a machine.
type LinodeBackups struct {
	Enabled bool `json:"enabled"`
}

// LinodeSnapshot is a manual snapshot. Status is the API's word: pending, running,
// successful, failed.
type LinodeSnapshot struct {
	ID        int     `json:"id"`
	Label     string  `json:"label"`
	Type      string  `json:"type"`
	Status    string  `json:"status"`
	Created   string  `json:"created"`
	Finished  *string `json:"finished"`
	Available bool    `json:"available"`
}

// linodeTypes are the plans whose prices the stand-in tells, as GET /linode/types/{id}
// answers (read 2026-09; backups are an add-on).
var linodeTypes = map[string]json.RawMessage{
	"g6-nanode-1": json.RawMessage(
		`{"id":"g6-nanode-1","label":"Nanode 1GB","class":"nanode","memory":1024,"disk":25600,"vcpus":1,"transfer":1000,"price":{"hourly":0.0075,"monthly":5.0},
		"region_prices":[{"id":"id-cgk","hourly":0.009,"monthly":6.0}],"addons":{"backups":{"price":{"hourly":0.003,"monthly":2.0},"region_prices":[]}}}`,
	),
	"g6-standard-1": json.RawMessage(
		`{"id":"g6-standard-1","label":"Linode 2GB","class":"standard","memory":2048,"disk":51200,"vcpus":1,"transfer":2000,"price":{"hourly":0.018,"monthly":12.0},
		"region_prices":[],"addons":{"backups":{"price":{"hourly":0.004,"monthly":2.5},"region_prices":[]}}}`,
	),
}

// LinodeConfig configures the stand-in. Instances are what exists at the first start;
// afterwards the state file counts.
type LinodeConfig struct {
	Token     string
	Instances []LinodeInstance
	Backend   LinodeBackend
	StatePath string
}

// Linode is a stand-in for the Linode API v4, the part about one instance
// (https://api.linode.com/v4).
//
// Kept: Bearer token; list (one page), get, shutdown, boot, delete; the prices of two
// plans; backups (one manual snapshot, which another replaces; in_progress until it is
// done; refused while the Backups service is off), backups/enable and backups/cancel, which
// deletes them; {} as the answer of an action; shutdown and boot go on after the answer
// (shutting_down, booting) as they do on the real service; "Linode busy." with status 400
// while they do; error bodies {"errors":[{"reason"}]}; statuses 400 401 404 429 500.
//
// Chosen where the reference is silent: shutting down what is off, and booting what runs,
// succeeds and changes nothing; an action that fails puts the status back; a snapshot is
// pending, then running, then successful in as many reads; without the Backups service it
// is refused with 400.
//
// Left out: everything else of the API, events, automatic backups, restoring, filters;
// delete happens before the answer, not after it.
type Linode struct {
	Faults
	cfg    LinodeConfig
	ctx    context.Context //nolint:containedctx // ends with the stand-in
	cancel context.CancelFunc
	jobs   sync.WaitGroup
	mu     sync.Mutex
	all    map[int]LinodeInstance
	closed bool

	snapshots int // taken so far
}

const (
	linodeRunning      = "running"
	linodeOffline      = "offline"
	linodeShuttingDown = "shutting_down"
	linodeBooting      = "booting"
)

// NewLinode returns the stand-in and takes up the actions that a former process left
// unfinished. Errors: incomplete configuration, unreadable state file. Close it when done.
func NewLinode(cfg LinodeConfig) (*Linode, error) {
	if cfg.Token == "" || cfg.Backend == nil {
		return nil, errors.New("linode stand-in needs Token and Backend")
	}
	l := &Linode{cfg: cfg, all: map[int]LinodeInstance{}}
	var saved map[int]LinodeInstance
	if err := loadState(cfg.StatePath, &saved); err != nil {
		return nil, err
	}
	if saved != nil {
		l.all = saved
	} else {
		for _, i := range cfg.Instances {
			l.all[i.ID] = i
		}
	}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	for _, i := range l.all {
		switch i.Status {
		case linodeShuttingDown:
			l.start(i.ID, cfg.Backend.Shutdown, linodeOffline, linodeRunning)
		case linodeBooting:
			l.start(i.ID, cfg.Backend.Boot, linodeRunning, linodeOffline)
		}
	}
	return l, nil
}

// Instances lists the machines that exist, by id.
func (l *Linode) Instances() []LinodeInstance {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.SortedFunc(
		maps.Values(l.all),
		func(a, b LinodeInstance) int { return a.ID - b.ID },
	)
}

// SnapshotsTaken counts the manual snapshots that were begun, replaced ones too.
func (l *Linode) SnapshotsTaken() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.snapshots
}

// Close stops the actions under way and returns when they have ended.
func (l *Linode) Close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.cancel()
	l.jobs.Wait()
}

// ServeHTTP implements http.Handler. Paths start with /v4/linode/instances.
func (l *Linode) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !bearer(r, l.cfg.Token) {
		linodeError(w, http.StatusUnauthorized, "Invalid Token")
		return
	}
	l.serve(w, r, linodeError, l.route)
}

func (l *Linode) route(w http.ResponseWriter, r *http.Request) {
	if id, ok := strings.CutPrefix(r.URL.Path, "/v4/linode/types/"); ok &&
		r.Method == http.MethodGet {
		if t, ok := linodeTypes[id]; ok {
			send(w, http.StatusOK, t)
		} else {
			linodeError(w, http.StatusNotFound, "Not found")
		}
		return
	}
	rest, ok := strings.CutPrefix(r.URL.Path, "/v4/linode/instances")
	if !ok {
		linodeError(w, http.StatusNotFound, "Not found")
		return
	}
	if rest == "" && r.Method == http.MethodGet {
		all := l.Instances()
		for i := range all {
			all[i].Snapshot, all[i].SnapshotBegun = nil, nil
		}
		send(
			w,
			http.StatusOK,
			map[string]any{"data": all, "page": 1, "pages": 1, "results": len(all)},
		)
		return
	}
	idText, action, _ := strings.Cut(strings.TrimPrefix(rest, "/"), "/")
	id, err := strconv.Atoi(idText)
	if err != nil {
		linodeError(w, http.StatusNotFound, "Not found")
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	inst, ok := l.all[id]
	if !ok {
		linodeError(w, http.StatusNotFound, "Not found")
		return
	}
	switch r.Method + " " + action {
	case "GET ":
		inst.Snapshot, inst.SnapshotBegun = nil, nil
		send(w, http.StatusOK, inst)
	case "GET backups":
		l.backups(w, inst)
	case "POST backups":
		l.snapshot(w, r, inst)
	case "POST backups/enable":
		inst.Backups.Enabled = true
		l.keep(w, inst, struct{}{})
	case "POST backups/cancel":
		inst.Backups.Enabled, inst.Snapshot, inst.SnapshotBegun = false, nil, nil
		l.keep(w, inst, struct{}{})
	case "POST shutdown":
		l.act(w, inst, linodeOffline, linodeShuttingDown, l.cfg.Backend.Shutdown)
	case "POST boot":
		l.act(w, inst, linodeRunning, linodeBooting, l.cfg.Backend.Boot)
	case "DELETE ":
		l.remove(w, r, inst)
	default:
		linodeError(w, http.StatusNotFound, "Not found")
	}
}

// keep saves a machine and answers; mu is held.
func (l *Linode) keep(w http.ResponseWriter, inst LinodeInstance, body any) {
	l.all[inst.ID] = inst
	if err := saveState(l.cfg.StatePath, l.all); err != nil {
		linodeError(w, http.StatusInternalServerError, err.Error())
		return
	}
	send(w, http.StatusOK, body)
}

const linodeTime = "2006-01-02T15:04:05"

// backups shows the snapshots, and takes the one under way one step on; mu is held.
func (l *Linode) backups(w http.ResponseWriter, inst LinodeInstance) {
	answer := map[string]any{
		"automatic": []any{},
		"snapshot":  map[string]any{"current": inst.Snapshot, "in_progress": inst.SnapshotBegun},
	}
	if begun := inst.SnapshotBegun; begun != nil {
		next := *begun
		switch begun.Status {
		case "pending":
			next.Status = "running"
			inst.SnapshotBegun = &next
		default:
			now := time.Now().UTC().Format(linodeTime)
			next.Status, next.Finished, next.Available = "successful", &now, true
			inst.Snapshot, inst.SnapshotBegun = &next, nil
		}
	}
	l.keep(w, inst, answer)
}

// snapshot begins one; mu is held.
func (l *Linode) snapshot(w http.ResponseWriter, r *http.Request, inst LinodeInstance) {
	var req struct {
		Label string `json:"label"`
	}
	switch err := decode(w, r, &req); {
	case err != nil || req.Label == "" || len(req.Label) > 255:
		linodeError(w, http.StatusBadRequest, "label must be between 1 and 255 characters")
	case !inst.Backups.Enabled:
		linodeError(w, http.StatusBadRequest, "Backups are not enabled for this Linode.")
	case inst.SnapshotBegun != nil, inst.Status != linodeRunning && inst.Status != linodeOffline:
		linodeError(w, http.StatusBadRequest, "Linode busy.")
	default:
		l.snapshots++
		inst.SnapshotBegun = &LinodeSnapshot{
			ID:      l.snapshots,
			Label:   req.Label,
			Type:    "snapshot",
			Status:  "pending",
			Created: time.Now().UTC().Format(linodeTime),
		}
		l.keep(w, inst, inst.SnapshotBegun)
	}
}

// act begins an asynchronous action; mu is held.
func (l *Linode) act(
	w http.ResponseWriter,
	inst LinodeInstance,
	goal, meanwhile string,
	do func(context.Context, int) error,
) {
	if l.closed || inst.Status != linodeRunning && inst.Status != linodeOffline {
		linodeError(w, http.StatusBadRequest, "Linode busy.")
		return
	}
	if inst.Status != goal {
		before := inst.Status
		inst.Status = meanwhile
		l.all[inst.ID] = inst
		if err := saveState(l.cfg.StatePath, l.all); err != nil {
			inst.Status = before
			l.all[inst.ID] = inst
			linodeError(w, http.StatusInternalServerError, err.Error())
			return
		}
		l.start(inst.ID, do, goal, before)
	}
	send(w, http.StatusOK, struct{}{})
}

// start carries an action out and settles the status. One that Close interrupts keeps its
// transitional status, so that the next process takes it up.
func (l *Linode) start(id int, do func(context.Context, int) error, goal, before string) {
	l.jobs.Go(func() {
		err := do(l.ctx, id)
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.ctx.Err() != nil {
			return
		}
		inst := l.all[id]
		inst.Status = goal
		if err != nil {
			inst.Status = before
			slog.Error(
				"linode stand-in: action did not succeed",
				"instance",
				id,
				"goal",
				goal,
				"err",
				err,
			)
		}
		l.all[id] = inst
		if err := saveState(l.cfg.StatePath, l.all); err != nil {
			slog.Error("linode stand-in: state was not saved", "instance", id, "err", err)
		}
	})
}

func (l *Linode) remove(w http.ResponseWriter, r *http.Request, inst LinodeInstance) {
	if inst.Status != linodeRunning && inst.Status != linodeOffline {
		linodeError(w, http.StatusBadRequest, "Linode busy.")
		return
	}
	if err := l.cfg.Backend.Delete(context.WithoutCancel(r.Context()), inst.ID); err != nil {
		linodeError(
			w,
			http.StatusInternalServerError,
			fmt.Sprintf("instance %d was not deleted: %v", inst.ID, err),
		)
		return
	}
	delete(l.all, inst.ID)
	if err := saveState(l.cfg.StatePath, l.all); err != nil {
		linodeError(w, http.StatusInternalServerError, err.Error())
		return
	}
	send(w, http.StatusOK, struct{}{})
}

func linodeError(w http.ResponseWriter, status int, reason string) {
	send(w, status, map[string]any{"errors": []map[string]string{{"reason": reason}}})
}
