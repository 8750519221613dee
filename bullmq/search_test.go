package bullmq_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/bullmq"
	"github.com/switchyard-dev/switchyard/bullmq/bullmqtest"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
)

func path(t testing.TB, text string) bullmq.FieldPath {
	t.Helper()
	p, err := bullmq.ParseFieldPath(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// searched searches to the end, in as many calls as it takes, and returns what was
// found, sorted and without duplicates.
func searched(
	t *testing.T, c redis.UniversalClient, o bullmq.SearchOptions,
) (found []string, last bullmq.SearchResult) {
	t.Helper()
	o.Share = 1
	for range 1000 {
		r, err := bullmq.SearchJobs(t.Context(), c, o)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range r.Matches {
			found = append(found, m.Queue.String()+" "+m.ID+" "+m.Name)
		}
		if last, o.After = r, r.Next; r.Next == "" {
			slices.Sort(found)
			return slices.Compact(found), last
		}
	}
	t.Fatal("the search does not end")
	return nil, last
}

func TestASearchFindsAValueWhereItIsAndNowhereElse(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t)
	v6 := bullmqtest.Major(6)
	data := map[string]any{"customer": map[string]any{"email": "ä@example.com", "vip": true,
		"age": 41, "note": nil}, "items": []any{
		map[string]any{"sku": "A-1"},
		map[string]any{"sku": "B.2"},
	},
		"price.net": 12.5, "text": "41"}
	job := func(id string, opts map[string]any) bullmqtest.Task {
		o := map[string]any{"jobId": id}
		for k, v := range opts {
			o[k] = v
		}
		return bullmqtest.Task{Name: "order", Data: data, Opts: o}
	}
	v6.Add(t, srv, "orders", job("one", nil), job("two", map[string]any{"delay": 60_000}),
		job("three", map[string]any{"priority": 3}),
		bullmqtest.Task{Name: "other", Data: map[string]any{"customer": "ä@example.com",
			"items": "A-1"}, Opts: map[string]any{"jobId": "flat"}})
	v6.Add(t, srv, "elsewhere", job("foreign", nil))
	c := srv.Client()
	for key, text := range map[string]string{"broken": `{"customer":{"email":"ä@example.com"`,
		"unlisted": `{"customer":{"email":"ä@example.com"},"big":9007199254740993}`,
		"large": `{"customer":{"email":"ä@example.com"},"x":"` + strings.Repeat("x",
			bullmq.SearchBytes) + `"}`} {
		if err := c.HSet(t.Context(), "bull:orders:"+key, "name", "made", "data", text, "opts",
			"{}", "timestamp", "1").Err(); err != nil {
			t.Fatal(err)
		}
	}
	c.Set(t.Context(), "bull:orders:string", `{"customer":{"email":"ä@example.com"}}`, 0)
	orders := bullmq.Queue{Prefix: "bull", Name: "orders"}
	real := []string{"orders one order", "orders three order", "orders two order"}
	for _, q := range []struct {
		field, value string
		want         []string
	}{
		{"customer.email", "ä@example.com", append(slices.Clone(real), "orders unlisted made")},
		{"customer", "ä@example.com", []string{"orders flat other"}},
		{"customer.email", "Ä@example.com", nil},
		{"customer.email.x", "ä@example.com", nil},
		{"customer.age", "41", real},
		{"customer.age", "41.0", real},
		{"customer.age", "4.1e1", real},
		{"text", "41", real},
		{"text", "41.0", nil},
		{"big", "9007199254740993", []string{"orders unlisted made"}},
		{"big", "9007199254740992", nil},
		{"customer.vip", "true", real},
		{"customer.note", "null", real},
		{"customer.missing", "null", nil},
		{"items.1.sku", "B.2", real},
		{"items.2.sku", "B.2", nil},
		{"items.-1.sku", "B.2", nil},
		{"items", "A-1", []string{"orders flat other"}},
		{`price\.net`, "12.5", real},
		{"price.net", "12.5", nil},
		{"customer", "", nil},
	} {
		t.Run(q.field+"="+q.value, func(t *testing.T) {
			t.Parallel()
			slices.Sort(q.want)
			got, last := searched(t, c, bullmq.SearchOptions{Path: path(t, q.field),
				Value: q.value, Queues: []bullmq.Queue{orders}})
			if !slices.Equal(got, q.want) {
				t.Errorf("found %v, want %v", got, q.want)
			}
			if last.Searched < 6 || last.TooLarge != 1 || last.Unreadable != 1 ||
				last.Keys < last.Searched || last.Total < last.Searched {
				t.Errorf("%+v", last)
			}
		})
	}
	got, _ := searched(t, c, bullmq.SearchOptions{Path: path(t, "items.0.sku"), Value: "A-1",
		Queues: []bullmq.Queue{orders, {Prefix: "bull", Name: "elsewhere"}}})
	if len(got) != 4 || got[0] != "elsewhere foreign order" {
		t.Errorf("in both queues: %v", got)
	}
}

// However often a search stops early and continues, it has looked at every job in
// the end, even while a writer makes the server rehash.
func TestASearchThatGoesOnPassesNoJobOver(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t)
	c := srv.Client()
	orders := bullmq.Queue{Prefix: "bull", Name: "orders"}
	want := []string{}
	put := func(from, to int, data string) {
		t.Helper()
		if _, err := c.Pipelined(t.Context(), func(p redis.Pipeliner) error {
			for i := from; i < to; i++ {
				p.HSet(t.Context(), fmt.Sprint("bull:orders:", i), "name", "n", "data", data,
					"opts", "{}", "timestamp", "1")
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	put(0, 300, `{"k":"there"}`)
	for i := range 300 {
		want = append(want, fmt.Sprintf("orders %d n", i))
	}
	slices.Sort(want)
	o := bullmq.SearchOptions{Path: path(t, "k"), Value: "there",
		Queues: []bullmq.Queue{orders}, Limit: 7, Share: 1}
	var got []string
	for n := 1000; ; n += 500 {
		r, err := bullmq.SearchJobs(t.Context(), c, o)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range r.Matches {
			got = append(got, m.Queue.String()+" "+m.ID+" "+m.Name)
		}
		if o.After = r.Next; r.Next == "" {
			break
		}
		put(n, n+500, `{"k":"later"}`)
	}
	slices.Sort(got)
	if got = slices.Compact(got); !slices.Equal(got, want) {
		t.Fatalf("found %d of %d", len(got), len(want))
	}
}

func TestASearchThatIsNotDoneSaysSo(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t)
	c := srv.Client()
	if _, err := c.Pipelined(t.Context(), func(p redis.Pipeliner) error {
		for i := range 1000 {
			p.HSet(t.Context(), fmt.Sprint("bull:orders:", i), "name", "n", "data", `{"k":1}`,
				"opts", "{}", "timestamp", "1")
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	o := bullmq.SearchOptions{Path: path(t, "k"), Value: "2",
		Queues: []bullmq.Queue{{Prefix: "bull", Name: "orders"}}, Budget: 1}
	r, err := bullmq.SearchJobs(t.Context(), c, o)
	if err != nil || r.Next == "" || r.Keys >= r.Total {
		t.Fatalf("%+v, %v", r, err)
	}
	// A cursor of a server that is gone would skip jobs.
	srv.Kill()
	srv.Restart()
	o.After = r.Next
	if r, err = bullmq.SearchJobs(t.Context(), c, o); err != nil || !r.Restarted {
		t.Errorf("%+v, %v", r, err)
	}
	for _, after := range []string{"nonsense", "a:b", ":-1"} {
		o.After = after
		if _, err := bullmq.SearchJobs(t.Context(), c,
			o); migration.KindOf(err) != migration.Invalid {
			t.Errorf("%s: %v", after, err)
		}
	}
}

func TestFieldPathsThatAreNoneAreRefused(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", ".", "a.", ".a", "a..b", `a\`, strings.Repeat("a", 257),
		strings.Repeat("a.", 16) + "a"} {
		if p, err := bullmq.ParseFieldPath(text); migration.KindOf(err) != migration.Invalid {
			t.Errorf("%q: %v, %v", text, p, err)
		}
	}
}

// A parsed path means what was written: names with dots and backslashes escaped are
// read back unchanged.
func FuzzParseFieldPath(f *testing.F) {
	for _, s := range []string{"a", "a.b", `a\.b`, `a\\.b`, "items.0.ä", "\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := bullmq.ParseFieldPath(text)
		if err != nil {
			return
		}
		var names []string
		for _, n := range p {
			names = append(names, strings.NewReplacer(`\`, `\\`, `.`, `\.`).Replace(n))
		}
		again, err := bullmq.ParseFieldPath(strings.Join(names, "."))
		if err != nil && len(strings.Join(names, ".")) <= 256 ||
			err == nil && !slices.Equal(again, p) {
			t.Fatalf("%q is %q, then %q, %v", text, p, again, err)
		}
	})
}
