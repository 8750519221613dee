package flags_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/switchyard-dev/switchyard/flags"
	"github.com/switchyard-dev/switchyard/migration"
)

// routing is a set as the control plane makes it, at a revision.
func routing(revision int64) flags.Set {
	return flags.Set{Revision: revision, Flags: []flags.Flag{
		{Key: "order-ingestion-stage", Value: "live", Revision: revision},
		{Key: "order-ingestion-ramp", Value: int64(25), Revision: 1},
		{Key: "source-endpoint", Value: "sentinel", Revision: 1},
		{Key: "kill", Value: false, Variant: "off", Revision: 1},
		{Key: "ratio", Value: 1.0, Revision: 1},
	}}
}

func hold(t testing.TB, set flags.Set) *flags.Holder {
	t.Helper()
	h := flags.NewHolder("")
	if err := h.Replace(set); err != nil {
		t.Fatal(err)
	}
	return h
}

func TestReplaceRefusesInvalidSetsAndKeepsTheGoodOne(t *testing.T) {
	t.Parallel()
	h := hold(t, routing(5))
	before := h.EvaluateAll("", nil)
	flag := func(f flags.Flag) flags.Set { return flags.Set{Revision: 6, Flags: []flags.Flag{f}} }
	for rule, set := range map[string]flags.Set{
		"revision zero":             {Revision: 0},
		"empty key":                 flag(flags.Flag{Value: "x", Revision: 1}),
		"key with a slash":          flag(flags.Flag{Key: "a/b", Value: "x", Revision: 1}),
		"no value":                  flag(flags.Flag{Key: "a", Revision: 1}),
		"int, which is not int64":   flag(flags.Flag{Key: "a", Value: 1, Revision: 1}),
		"object":                    flag(flags.Flag{Key: "a", Value: map[string]any{}, Revision: 1}),
		"integer that JS rounds":    flag(flags.Flag{Key: "a", Value: int64(1) << 53, Revision: 1}),
		"flag newer than its set":   flag(flags.Flag{Key: "a", Value: "x", Revision: 7}),
		"flag without revision":     flag(flags.Flag{Key: "a", Value: "x"}),
		"the same key twice":        {Revision: 6, Flags: []flags.Flag{{Key: "a", Value: "x", Revision: 1}, {Key: "a", Value: "y", Revision: 1}}},
		"one bad flag among good":   {Revision: 6, Flags: append(routing(6).Flags, flags.Flag{Key: "a", Value: struct{}{}, Revision: 1})},
		"text that is not UTF-8":    flag(flags.Flag{Key: "a", Value: "\xff", Revision: 1}),
		"variant that is not UTF-8": flag(flags.Flag{Key: "a", Value: "x", Variant: "\xff", Revision: 1}),
	} {
		if err := h.Replace(set); migration.KindOf(err) != migration.Invalid {
			t.Errorf("%s: got %v, want a refusal", rule, err)
		}
	}
	if after := h.EvaluateAll("", nil); !reflect.DeepEqual(before, after) {
		t.Errorf("a refused set changed the answer to %s", after.Body)
	}
}

func TestRevisionsOnlyGoUp(t *testing.T) {
	t.Parallel()
	h := hold(t, routing(5))
	if err := h.Replace(routing(4)); migration.KindOf(err) != migration.Conflict {
		t.Errorf("older revision: %v", err)
	}
	other := routing(5)
	other.Flags[0].Value = "off"
	if err := h.Replace(other); migration.KindOf(err) != migration.Conflict {
		t.Errorf("same revision, other contents: %v", err)
	}
	if err := h.Replace(routing(5)); err != nil {
		t.Errorf("same set again: %v", err)
	}
	if err := h.Replace(routing(9)); err != nil || h.Snapshot().Revision != 9 {
		t.Errorf("newer revision: %v, held %d", err, h.Snapshot().Revision)
	}
}

func TestSnapshotFillsVariantsAndIsACopy(t *testing.T) {
	t.Parallel()
	set := routing(3)
	h := hold(t, set)
	set.Flags[0].Value = "off" // the caller's slice is not the holder's
	got := h.Snapshot()
	var variants []string
	for _, f := range got.Flags {
		variants = append(variants, f.Variant)
	}
	if want := []string{"live", "25", "sentinel", "off", "1"}; !slices.Equal(variants, want) {
		t.Errorf("variants %v, want %v", variants, want)
	}
	if got.Flags[0].Value != "live" {
		t.Error("changing the argument changed what is held")
	}
	got.Flags[0].Value = "off"
	if h.Snapshot().Flags[0].Value != "live" {
		t.Error("changing a snapshot changed what is held")
	}
	if empty := flags.NewHolder("").Snapshot(); empty.Revision != 0 || len(empty.Flags) != 0 {
		t.Errorf("nothing known: %+v", empty)
	}
}

func TestLastKnownGoodIsServedStaleUntilConfirmed(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "flags.json")
	first := flags.NewHolder(path)
	if stale, since := first.Stale(); !stale || !since.IsZero() {
		t.Errorf("nothing known: stale %v since %v", stale, since)
	}
	if err := first.Replace(routing(5)); err != nil {
		t.Fatal(err)
	}
	fresh := first.EvaluateAll("", nil)

	h := flags.NewHolder(path)
	if stale, since := h.Stale(); !stale || since.IsZero() {
		t.Errorf("from the file: stale %v since %v", stale, since)
	}
	if !reflect.DeepEqual(h.Snapshot(), first.Snapshot()) {
		t.Errorf("read back %+v, want %+v", h.Snapshot(), first.Snapshot())
	}
	old := h.EvaluateAll(fresh.ETag, nil)
	if old.Status != 200 || old.ETag == fresh.ETag || bulkMetadata(t, old)["stale"] != true {
		t.Errorf("a client must learn that the flags are stale: %d %s", old.Status, old.Body)
	}
	if err := h.Replace(routing(4)); migration.KindOf(err) != migration.Conflict {
		t.Errorf("older than the file: %v", err)
	}
	if err := h.Replace(routing(5)); err != nil {
		t.Fatal(err)
	}
	if stale, _ := h.Stale(); stale {
		t.Error("still stale after the database confirmed the set")
	}
	if again := h.EvaluateAll(fresh.ETag, nil); again.Status != 304 {
		t.Errorf("confirmed flags answer %d to their own ETag", again.Status)
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
	if err := flags.NewHolder(path).Replace(routing(5)); err != nil {
		t.Fatal(err)
	}
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
		h := flags.NewHolder(path)
		if got := h.Snapshot(); got.Revision != 0 {
			t.Errorf("%s: served %+v", name, got)
		}
		if err := h.Replace(routing(2)); err != nil {
			t.Errorf("%s: cannot start over: %v", name, err)
		}
		if again := flags.NewHolder(path).Snapshot(); again.Revision != 2 {
			t.Errorf("%s: after a good set the file holds revision %d", name, again.Revision)
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
	h := flags.NewHolder(path)
	if err := h.Replace(routing(1)); !errors.Is(err, flags.ErrNotSaved) {
		t.Fatalf("got %v, want ErrNotSaved", err)
	}
	if h.Snapshot().Revision != 1 {
		t.Error("a rollback would wait for a disk")
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := h.Replace(routing(1)); err != nil {
		t.Errorf("the same set again must be saved now: %v", err)
	}
	if got := flags.NewHolder(path).Snapshot().Revision; got != 1 {
		t.Errorf("the file holds revision %d", got)
	}
}

// Readers must see whole sets only: stage and ramp of one answer belong to the same revision. Run with -race where cgo is there.
func TestReadersSeeWholeSets(t *testing.T) {
	t.Parallel()
	set := func(rev int64) flags.Set {
		return flags.Set{Revision: rev, Flags: []flags.Flag{{Key: "a", Value: rev, Revision: rev}, {Key: "b", Value: rev, Revision: rev}}}
	}
	h := hold(t, set(1))
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
				if err := json.Unmarshal(h.EvaluateAll("", nil).Body, &got); err != nil || got.Flags[0].Value != got.Flags[1].Value || got.Flags[0].Value < last {
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
	for rev := int64(2); rev <= 300; rev++ {
		if err := h.Replace(set(rev)); err != nil {
			t.Error(err)
		}
	}
	close(done)
	readers.Wait()
}
