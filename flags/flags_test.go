package flags_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/flags"
	"github.com/switchyard-dev/switchyard/migration"
)

// doc holds flags that give everybody the same.
const doc = `{"flags":{
	"stage":{"state":"ENABLED","variants":{"live":"live","off":"off"},"defaultVariant":"live"},
	"ramp":{"state":"ENABLED","variants":{"25":25},"defaultVariant":"25"},
	"kill":{"state":"ENABLED","variants":{"on":true,"off":false},"defaultVariant":"on","metadata":{"type":"kill-switch"}},
	"ratio":{"state":"ENABLED","variants":{"half":0.5},"defaultVariant":"half"},
	"limits":{"state":"ENABLED","variants":{"a":{"n":[1,2]}},"defaultVariant":"a"}}}`

// split adds flags that depend on who asks.
const split = `{"flags":{
	"stage":{"state":"ENABLED","variants":{"live":"live","off":"off"},"defaultVariant":"off","targeting":{"if":[{"==":[{"var":"tier"},"gold"]},"live"]}},
	"broken":{"state":"ENABLED","variants":{"a":1},"targeting":{"cat":["n","o"]}},
	"fails":{"state":"ENABLED","variants":{"a":1},"targeting":{"in":[1,"text"]}},
	"code":{"state":"ENABLED","variants":{"a":1}},
	"out":{"state":"DISABLED","variants":{"a":1},"defaultVariant":"a"},
	"ratio":{"state":"ENABLED","variants":{"half":0.5},"defaultVariant":"half"}}}`

// at stamps a document as the control plane does.
func at(t testing.TB, revision int64, doc string) flags.Set {
	t.Helper()
	return flags.Set{ID: "m1", Revision: revision,
		Definition: flags.Revise("m1", nil, parse(t, doc), revision).JSON()}
}

func hold(t testing.TB, opt flags.Options, set flags.Set) *flags.Holder {
	t.Helper()
	opt.Log = slog.New(slog.DiscardHandler)
	h := flags.NewHolder(opt)
	if err := h.Replace(set); err != nil {
		t.Fatal(err)
	}
	return h
}

func open(opt flags.Options) *flags.Holder {
	opt.Log = slog.New(slog.DiscardHandler)
	return flags.NewHolder(opt)
}

func revision(h *flags.Holder) int64 {
	s, _ := h.Held("m1")
	return s.Revision
}

func bulk(h *flags.Holder, ifNoneMatch, body string) flags.Response {
	return h.EvaluateAll("m1", flags.Request{IfNoneMatch: ifNoneMatch, Body: []byte(body)})
}

func TestReplaceRefusesInvalidSetsAndKeepsTheGoodOne(t *testing.T) {
	t.Parallel()
	h := hold(t, flags.Options{}, at(t, 5, doc))
	before := bulk(h, "", "")
	for rule, set := range map[string]flags.Set{
		"revision zero":       {ID: "m1", Definition: []byte(doc)},
		"not a document":      {ID: "m1", Revision: 6, Definition: []byte(`[]`)},
		"stamped otherwise":   {ID: "m1", Revision: 6, Definition: at(t, 5, doc).Definition},
		"stamped for another": {ID: "m2", Revision: 5, Definition: at(t, 5, doc).Definition},
		"rule of no operators": {ID: "m1", Revision: 6,
			Definition: []byte(strings.Replace(split, `"=="`, `"is"`, 1))},
	} {
		if err := h.Replace(set); migration.KindOf(err) != migration.Invalid {
			t.Errorf("%s: got %v, want a refusal", rule, err)
		}
	}
	if after := bulk(h, "", ""); !reflect.DeepEqual(before, after) {
		t.Errorf("a refused set changed the answer to %s", after.Body)
	}
}

func TestRevisionsOnlyGoUp(t *testing.T) {
	t.Parallel()
	h := hold(t, flags.Options{}, at(t, 5, doc))
	if err := h.Replace(at(t, 4, doc)); migration.KindOf(err) != migration.Conflict {
		t.Errorf("older revision: %v", err)
	}
	if err := h.Replace(at(t, 5, split)); migration.KindOf(err) != migration.Conflict {
		t.Errorf("same revision, other contents: %v", err)
	}
	if err := h.Replace(at(t, 5, doc)); err != nil {
		t.Errorf("same set again: %v", err)
	}
	if err := h.Replace(at(t, 9, doc)); err != nil || revision(h) != 9 {
		t.Errorf("newer revision: %v, held %d", err, revision(h))
	}
}

func TestLastKnownGoodIsServedStaleUntilConfirmed(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "flags.json")
	first := open(flags.Options{File: path})
	if stale, since := first.Stale(); !stale || !since.IsZero() {
		t.Errorf("nothing known: stale %v since %v", stale, since)
	}
	if err := first.Replace(at(t, 5, doc)); err != nil {
		t.Fatal(err)
	}
	fresh := bulk(first, "", "")
	for name, confirm := range map[string]func(*flags.Holder) error{
		"the same set again": func(h *flags.Holder) error { return h.Replace(at(t, 5, doc)) },
		"confirmed":          func(h *flags.Holder) error { h.Confirm(); return nil },
	} {
		h := open(flags.Options{File: path})
		if stale, since := h.Stale(); !stale || since.IsZero() {
			t.Errorf("from the file: stale %v since %v", stale, since)
		}
		old := bulk(h, fresh.ETag, "")
		if old.Status != 200 || old.ETag == fresh.ETag ||
			bulkMetadata(t, old)["stale"] != true {
			t.Errorf("a client must learn that the flags are stale: %d %s",
				old.Status, old.Body)
		}
		if err := h.Replace(at(t, 4, doc)); migration.KindOf(err) != migration.Conflict {
			t.Errorf("older than the file: %v", err)
		}
		if err := confirm(h); err != nil {
			t.Fatal(err)
		}
		if stale, _ := h.Stale(); stale {
			t.Errorf("%s: still stale", name)
		}
		if again := bulk(h, fresh.ETag, ""); again.Status != 304 {
			t.Errorf("%s: flags answer %d to their own ETag", name, again.Status)
		}
	}
}

func TestUnconfirmedFlagsBecomeStaleByTheClock(t *testing.T) {
	t.Parallel()
	var clock atomic.Int64
	clock.Store(time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC).UnixNano())
	h := hold(t, flags.Options{Now: func() time.Time {
		return time.Unix(0, clock.Load())
	}, StaleAfter: 10 * time.Second}, at(t, 5, doc))
	clock.Add(int64(time.Hour))
	if stale, _ := h.Stale(); stale {
		t.Error("stale though nobody ever confirms")
	}
	h.Confirm()
	confirmed, fresh := clock.Load(), bulk(h, "", "")
	clock.Add(int64(10 * time.Second))
	if stale, _ := h.Stale(); stale {
		t.Error("stale too early")
	}
	clock.Add(1)
	if stale, since := h.Stale(); !stale || since.UnixNano() != confirmed {
		t.Errorf("stale %v since %v", stale, since)
	}
	if r := bulk(h, fresh.ETag, ""); r.Status != 200 || bulkMetadata(t, r)["stale"] != true {
		t.Errorf("answers %d %s", r.Status, r.Body)
	}
	h.Confirm()
	if r := bulk(h, fresh.ETag, ""); r.Status != 304 {
		t.Errorf("confirmed again: %d", r.Status)
	}
}

func bulkMetadata(t *testing.T, r flags.Response) map[string]any {
	t.Helper()
	var body struct {
		Metadata map[string]any `json:"metadata"`
	}
	if err := json.Unmarshal(r.Body, &body); err != nil {
		t.Fatal(err)
	}
	return body.Metadata
}

func TestDamagedFileIsIgnoredAndReplaced(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "flags.json")
	hold(t, flags.Options{File: path}, at(t, 5, doc))
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{
		"empty":           {},
		"cut off":         good[:len(good)/2],
		"one value moved": []byte(strings.Replace(string(good), `"live"`, `"off!"`, 1)),
		"not JSON":        []byte("\x00\x01"),
		"JSON, not ours":  []byte(`{"flags":{}}`),
		"null":            []byte("null"),
	} {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		h := open(flags.Options{File: path})
		if len(h.IDs()) != 0 {
			t.Errorf("%s: served %v", name, h.IDs())
		}
		if err := h.Replace(at(t, 2, doc)); err != nil {
			t.Errorf("%s: cannot start over: %v", name, err)
		}
		if again := revision(open(flags.Options{File: path})); again != 2 {
			t.Errorf("%s: after a good set the file holds revision %d", name, again)
		}
	}
	left, err := filepath.Glob(filepath.Join(filepath.Dir(path), "*"))
	if err != nil || len(left) != 1 {
		t.Errorf("files left behind: %v, %v", left, err)
	}
}

func TestFlagsThatCannotBeSavedAreStillInForce(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "later")
	path := filepath.Join(dir, "flags.json")
	h := open(flags.Options{File: path})
	if err := h.Replace(at(t, 1, doc)); !errors.Is(err, flags.ErrNotSaved) || !h.Unsaved() {
		t.Fatalf("got %v, want ErrNotSaved", err)
	}
	if revision(h) != 1 {
		t.Error("a rollback would wait for a disk")
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := h.Replace(at(t, 1, doc)); err != nil || h.Unsaved() {
		t.Errorf("the same set again must be saved now: %v", err)
	}
	if got := revision(open(flags.Options{File: path})); got != 1 {
		t.Errorf("the file holds revision %d", got)
	}
}

// memory is a mirror; while gate is closed saving waits.
type memory struct {
	mu    sync.Mutex
	state []byte
	saves int
	gate  chan struct{}
}

func (m *memory) Load(context.Context) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.state == nil {
		return nil, fs.ErrNotExist
	}
	return m.state, nil
}

func (m *memory) Save(_ context.Context, state []byte) error {
	if m.gate != nil {
		<-m.gate
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.state, m.saves = slices.Clone(state), m.saves+1
	return nil
}

func TestMirrorGetsTheLatestAndNeverDelays(t *testing.T) {
	t.Parallel()
	m := &memory{gate: make(chan struct{})}
	h := hold(t, flags.Options{Mirror: m}, at(t, 1, doc))
	for rev := int64(2); rev <= 50; rev++ { // nothing can be saved meanwhile
		if err := h.Replace(at(t, rev, doc)); err != nil {
			t.Fatal(err)
		}
	}
	close(m.gate)
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	if err := h.Close(); err != nil {
		t.Errorf("closed twice: %v", err)
	}
	if m.saves > 2 {
		t.Errorf("%d states saved, want only the latest", m.saves)
	}
	again := open(flags.Options{Mirror: m})
	if revision(again) != 50 {
		t.Errorf("the mirror holds revision %d", revision(again))
	}
	if stale, _ := again.Stale(); !stale {
		t.Error("a mirror is not the source")
	}
	_ = again.Close()
}

func TestTheNewerOfFileAndMirrorCounts(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ file, mirror int64 }{"file": {7, 6},
		"mirror": {6, 7}} {
		path, m := filepath.Join(t.TempDir(), "flags.json"), &memory{}
		hold(t, flags.Options{File: path}, at(t, c.file, doc))
		if err := hold(t, flags.Options{Mirror: m}, at(t, c.mirror, doc)).Close(); err != nil {
			t.Fatal(err)
		}
		h := open(flags.Options{File: path, Mirror: m})
		if revision(h) != 7 {
			t.Errorf("%s is newer: held %d", name, revision(h))
		}
		_ = h.Close()
	}
}

func TestKeysOutliveTheDatabase(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "flags.json")
	configured := []flags.Key{{ID: "cfg", Hash: sha256.Sum256([]byte("worker")), Set: "m1"}}
	h := open(flags.Options{File: path, Keys: configured})
	if _, err := h.Authenticate([]byte("other")); migration.KindOf(err) !=
		migration.Unavailable {
		t.Errorf("keys not known yet: %v", err)
	}
	watch := h.Watch("m1")
	defer watch.Close()
	other := flags.Key{ID: "k1", Name: "n", Hash: sha256.Sum256([]byte("other")), Set: "m2",
		RatePerSecond: 1}
	if err := h.ReplaceKeys([]flags.Key{other}); err != nil {
		t.Fatal(err)
	}
	<-watch.C
	if err := h.ReplaceKeys([]flags.Key{other}); err != nil {
		t.Fatal(err)
	}
	select {
	case <-watch.C:
		t.Error("the same keys woke a watcher")
	default:
	}
	again := open(flags.Options{File: path, Keys: configured})
	for token, set := range map[string]string{"worker": "m1", "other": "m2"} {
		if r, err := again.Authenticate([]byte(token)); err != nil || r.Set != set {
			t.Errorf("%s: %+v, %v", token, r, err)
		}
	}
	r, err := again.Authenticate([]byte("other"))
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := r.Allow(); !ok {
		t.Error("the first request was refused")
	}
	if wait, ok := r.Allow(); ok || wait < 1 {
		t.Errorf("a restored key has no rate: %v, %d", ok, wait)
	}
	if err := h.ReplaceKeys(nil); err != nil {
		t.Fatal(err)
	}
	<-watch.C
	if _, err := h.Authenticate([]byte("other")); migration.KindOf(err) !=
		migration.Unauthenticated {
		t.Errorf("revoked: %v", err)
	}
	if _, err := h.Authenticate([]byte("worker")); err != nil {
		t.Errorf("a configured key was revoked: %v", err)
	}
}

// Readers must see whole sets only: both flags of one answer belong to the same
// revision. Run with -race where cgo is there.
func TestReadersSeeWholeSets(t *testing.T) {
	t.Parallel()
	set := func(rev int64) flags.Set {
		return at(t, rev, fmt.Sprintf(`{"flags":{"a":{"state":"ENABLED","variants":{"v":%d},"defaultVariant":"v"},"b":{"state":"ENABLED","variants":{"v":%d},"targeting":{"if":[true,"v"]}}}}`, rev, rev))
	}
	h := hold(t, flags.Options{}, set(1))
	done := make(chan struct{})
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for last := int64(0); ; {
				var got struct {
					Flags []struct {
						Value int64 `json:"value"`
					} `json:"flags"`
				}
				if err := json.Unmarshal(bulk(h, "", "").Body, &got); err != nil ||
					got.Flags[0].Value != got.Flags[1].Value || got.Flags[0].Value < last {
					t.Errorf("torn or older answer: %+v after %d, %v", got, last, err)
					return
				}
				last = got.Flags[0].Value
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	for rev := int64(2); rev <= 200; rev++ {
		if err := h.Replace(set(rev)); err != nil {
			t.Error(err)
		}
	}
	close(done)
	readers.Wait()
}
