package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
)

func createSet(t testing.TB, s *Store, id string) {
	t.Helper()
	ok(t, s.CreateFlagSet(t.Context(), migration.FlagSet{ID: id, MigrationID: mid,
		Name: "Set " + id, CreatedBy: "ada", CreatedAt: noon}))
}

// revise makes a definition the latest of a set.
func revise(t testing.TB, s *Store, set, definition string) migration.FlagSetRevision {
	t.Helper()
	r, err := s.ReviseFlagSet(t.Context(), set, 0,
		func(json.RawMessage, int64) (json.RawMessage, error) {
			return json.RawMessage(definition), nil
		}, "ada", "because", "r1", noon)
	ok(t, err)
	return r
}

func TestAFlagSetOnlyEverGetsNewRevisions(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *Store) {
		createSet(t, s, mid)
		_, err := s.FlagSetRevision(t.Context(), mid, 0)
		wantKind(t, err, migration.NotFound)
		for i, c := range []struct {
			definition string
			want       int64
		}{{`{"n":1}`, 1}, {`{"n":1}`, 1}, {`{"n":2}`, 2}, {`{ "n": 2 }`, 3}, {`{"n":1}`, 4}} {
			if r := revise(t, s, mid, c.definition); r.Revision != c.want ||
				string(r.Definition) != c.definition || !r.At.Equal(noon) {
				t.Fatalf("change %d made %+v, want revision %d", i, r, c.want)
			}
		}
		if r, err := s.FlagSetRevision(t.Context(), mid, 3); err != nil ||
			string(r.Definition) != `{ "n": 2 }` || r.Actor != "ada" || r.Reason != "because" ||
			r.RunID != "r1" {
			t.Fatalf("revision 3 is %+v, %v", r, err)
		}
		page, err := s.FlagSetHistory(t.Context(), mid, 0, 3)
		ok(t, err)
		rest, err := s.FlagSetHistory(t.Context(), mid, page[2].Revision, 3)
		ok(t, err)
		if len(page) != 3 || page[0].Revision != 4 || len(rest) != 1 || rest[0].Revision != 1 {
			t.Fatalf("history %+v, then %+v", page, rest)
		}
	})
}

func TestAChangeSeesTheLatestDefinitionAndTheNumberItMakes(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *Store) {
		createSet(t, s, mid)
		type call struct {
			now  string
			next int64
		}
		var calls []call
		for i := range 3 {
			_, err := s.ReviseFlagSet(t.Context(), mid, 0,
				func(now json.RawMessage, next int64) (json.RawMessage, error) {
					calls = append(calls, call{string(now), next})
					return fmt.Appendf(nil, `{"n":%d}`, i), nil
				}, "ada", "", "", noon)
			ok(t, err)
		}
		if want := []call{{"", 1}, {`{"n":0}`, 2},
			{`{"n":1}`, 3}}; fmt.Sprint(calls) != fmt.Sprint(want) {
			t.Fatalf("got %v, want %v", calls, want)
		}
	})
}

func TestAChangeThatIsRefusedChangesNothing(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *Store) {
		createSet(t, s, mid)
		revise(t, s, mid, `{}`)
		refused := errors.New("refused")
		give := func(definition string, err error) func(json.RawMessage,
			int64) (json.RawMessage, error) {
			return func(json.RawMessage, int64) (json.RawMessage, error) {
				return json.RawMessage(definition), err
			}
		}
		if _, err := s.ReviseFlagSet(t.Context(), mid, 0, give("", refused), "ada", "", "",
			noon); !errors.Is(err, refused) {
			t.Errorf("got %v", err)
		}
		if _, err := s.ReviseFlagSet(t.Context(), mid, 0, give("{", nil), "ada", "", "",
			noon); err == nil {
			t.Error("a definition that is no JSON was stored")
		}
		_, err := s.ReviseFlagSet(t.Context(), "no-such-set", 0, give("{}", nil), "ada",
			"", "", noon)
		wantKind(t, err, migration.NotFound)
		_, err = s.ReviseFlagSet(t.Context(), mid, 7, give(`{"n":7}`, nil), "eve", "", "", noon)
		wantKind(t, err, migration.Conflict)
		for _, part := range []string{"revision 1", "revision 7", "ada"} {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("does not say %s: %v", part, err)
			}
		}
		if r, err := s.FlagSetRevision(t.Context(), mid, 0); err != nil || r.Revision != 1 {
			t.Fatalf("latest %+v, %v", r, err)
		}
	})
}

// A set is changed through several stores at once, as replicas do; on SQLite there is
// one.
func changeAtOnce(t *testing.T, stores []*Store) {
	const each = 15
	revisions := make([]int64, each*len(stores))
	var all sync.WaitGroup
	for i := range revisions {
		all.Go(func() {
			r, err := stores[i%len(stores)].ReviseFlagSet(t.Context(), mid, 0,
				func(now json.RawMessage, _ int64) (json.RawMessage, error) {
					var seen []int
					if now != nil {
						if err := json.Unmarshal(now, &seen); err != nil {
							return nil, err
						}
					}
					return json.Marshal(append(seen, i))
				}, "ada", "", "", noon)
			if err != nil {
				t.Error(err)
			}
			revisions[i] = r.Revision
		})
	}
	all.Wait()
	used := map[int64]bool{}
	for _, r := range revisions {
		if used[r] || r < 1 || r > int64(len(revisions)) {
			t.Fatalf("revisions %v", revisions)
		}
		used[r] = true
	}
	latest, err := stores[0].FlagSetRevision(t.Context(), mid, 0)
	ok(t, err)
	var seen []int
	ok(t, json.Unmarshal(latest.Definition, &seen))
	if len(seen) != len(revisions) {
		t.Fatalf("%d of %d changes are there", len(seen), len(revisions))
	}
}

func TestChangesAtOnceGetRevisionsOfTheirOwnAndNoneIsLost(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *Store) {
		createSet(t, s, mid)
		changeAtOnce(t, []*Store{s})
	})
}

func TestOfManyChangesFromOneRevisionOneWins(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *Store) {
		createSet(t, s, mid)
		revise(t, s, mid, `{}`)
		errs := make([]error, 10)
		var all sync.WaitGroup
		for i := range errs {
			all.Go(func() {
				_, errs[i] = s.ReviseFlagSet(t.Context(), mid, 1,
					func(json.RawMessage, int64) (json.RawMessage, error) {
						return fmt.Appendf(nil, `{"n":%d}`, i), nil
					},
					"ada", "", "", noon)
			})
		}
		all.Wait()
		won := 0
		for _, err := range errs {
			if err == nil {
				won++
			} else {
				wantKind(t, err, migration.Conflict)
			}
		}
		if won != 1 {
			t.Fatalf("%d changes were made from revision 1", won)
		}
	})
}

func TestRevisionsOnlyGoUpAlsoThroughSQL(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *Store) {
		createSet(t, s, mid)
		insert := func(revision int) error {
			_, err := s.SQL().ExecContext(t.Context(), fmt.Sprintf("INSERT INTO flag_set_revisions (set_id, revision, definition, actor, reason, at) VALUES ('%s', %d, '{}', '', '', 0)", mid, revision))
			return err
		}
		ok(t, insert(5))
		for _, revision := range []int{0, 4, 5} {
			if insert(revision) == nil {
				t.Errorf("revision %d was stored after 5", revision)
			}
		}
	})
}

func TestFlagSetsAreListedWithTheirLatestRevision(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *Store) {
		ok(t, s.CreateMigration(t.Context(),
			migration.Migration{ID: "other", Name: "Other", CreatedBy: "ada", CreatedAt: noon}))
		createSet(t, s, mid)
		createSet(t, s, "b-set")
		ok(t, s.CreateFlagSet(t.Context(), migration.FlagSet{ID: "other", MigrationID: "other",
			Name: "Other", CreatedBy: "ada", CreatedAt: noon.Add(-time.Hour)}))
		wantKind(t, s.CreateFlagSet(t.Context(), migration.FlagSet{ID: mid, MigrationID: mid}),
			migration.Conflict)
		for _, id := range []string{"", "-set", "Set"} {
			if s.CreateFlagSet(t.Context(),
				migration.FlagSet{ID: id, MigrationID: mid}) == nil {
				t.Errorf("a set with the id %q was stored", id)
			}
		}
		revise(t, s, mid, `{"n":1}`)
		revise(t, s, mid, `{"n":2}`)
		list := func(mid string) (out []string) {
			sets, err := s.FlagSets(t.Context(), mid)
			ok(t, err)
			for _, f := range sets {
				out = append(out, fmt.Sprint(f.ID, " ", f.Revision))
			}
			return out
		}
		if got := fmt.Sprint(list("")); got != "[other 0 b-set 0 orders 2]" {
			t.Errorf("all: %s", got)
		}
		if got := fmt.Sprint(list(mid)); got != "[b-set 0 orders 2]" {
			t.Errorf("of %s: %s", mid, got)
		}
	})
}

func TestAKeyIsRevokedOnceAndForGood(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *Store) {
		createSet(t, s, mid)
		key := migration.APIKey{ID: "k1", Name: "Worker", Set: mid, Prefix: "sy_ab",
			Hash: []byte{1, 255}, RatePerSecond: 5, CreatedBy: "ada", CreatedAt: noon}
		ok(t, s.CreateAPIKey(t.Context(), key))
		same := key
		same.ID = "k2"
		if s.CreateAPIKey(t.Context(), same) == nil {
			t.Error("two keys have one token")
		}
		ok(t, s.RevokeAPIKey(t.Context(), "k1", noon))
		ok(t, s.RevokeAPIKey(t.Context(), "k1", noon.Add(time.Hour)))
		wantKind(t, s.RevokeAPIKey(t.Context(), "k9", noon), migration.NotFound)
		keys, err := s.APIKeys(t.Context())
		ok(t, err)
		if len(keys) != 1 || !keys[0].RevokedAt.Equal(noon) || !bytes.Equal(keys[0].Hash,
			key.Hash) || keys[0].RatePerSecond != 5 || keys[0].Set != mid {
			t.Fatalf("keys %+v", keys)
		}
	})
}

func TestAScheduleEndsOnce(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *Store) {
		createSet(t, s, mid)
		createSet(t, s, "b-set")
		for i, set := range []string{mid, "b-set", mid} {
			ok(t, s.CreateFlagSchedule(t.Context(), migration.FlagSchedule{ID: fmt.Sprint("s",
				i), Set: set, At: noon.Add(-time.Duration(i) * time.Hour),
				Edit: &migration.FlagEdit{Base: 3, Reason: "later"}, CreatedBy: "ada",
				CreatedAt: noon}))
		}
		errs := make([]error, 10)
		var all sync.WaitGroup
		for i := range errs {
			all.Go(func() {
				errs[i] = s.EndFlagSchedule(t.Context(), "s0", migration.ScheduleDone,
					fmt.Sprint("by ", i))
			})
		}
		all.Wait()
		won := 0
		for _, err := range errs {
			if err == nil {
				won++
			} else {
				wantKind(t, err, migration.Conflict)
			}
		}
		if won != 1 {
			t.Errorf("it was ended %d times", won)
		}
		pending, err := s.FlagSchedules(t.Context(), mid, true)
		ok(t, err)
		if len(pending) != 1 || pending[0].ID != "s2" || pending[0].Edit.Reason != "later" ||
			pending[0].Move != nil {
			t.Errorf("pending %+v", pending)
		}
		all3, err := s.FlagSchedules(t.Context(), "", false)
		ok(t, err)
		if len(all3) != 3 || all3[0].ID != "s2" || all3[2].State != migration.ScheduleDone {
			t.Errorf("all %+v", all3)
		}
	})
}
