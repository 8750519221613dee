package workflows

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/workflows/environment"
)

const (
	// maxQuery is as long as the longest id that can be looked up.
	maxQuery = 512
	// foundMost is how many hits one source gives.
	foundMost = 8
	// sourceBudget and jobsBudget are how long one source is waited for.
	sourceBudget, jobsBudget = 1500 * time.Millisecond, 5 * time.Second
	// setsSearched is in how many flag sets flags are looked for.
	setsSearched = 20
)

// Kinds of what a search finds, in the order in which they are listed.
const (
	FoundRun    = "run"
	FoundOrder  = "order"
	FoundJob    = "job"
	FoundStep   = "step"
	FoundQueue  = "queue"
	FoundFlag   = "flag"
	FoundSet    = "flag-set"
	FoundAlert  = "alert"
	FoundKey    = "key"
	FoundPerson = "person"
)

// Found is one thing that a search found.
type Found struct {
	Kind string `json:"kind" enum:"run,order,job,step,queue,flag,flag-set,alert,key,person"`
	// ID is what the thing is asked for by: a run's id, a queue's name, a flag's key.
	ID     string `json:"id"`
	In     string `json:"in,omitempty"` // the flag set of a flag or a key, the queue of a job
	Title  string `json:"title"`
	Detail string `json:"detail,omitempty"`
}

// Searched is how a source was searched.
type Searched struct {
	Source string `json:"source" enum:"runs,orders,jobs,steps,queues,flags,alerts,keys,people"`
	More   bool   `json:"more"` // there are hits that are not listed
	// Error says why it was not searched; then nothing is known of it.
	Error string `json:"error,omitempty"`
}

// SearchAnswer is what was found, and where it was looked.
type SearchAnswer struct {
	Query   string     `json:"query"`
	Found   []Found    `json:"found"`
	Sources []Searched `json:"sources"` // those that were searched, or were to be
}

// Failed gives the sources that did not answer.
func (r SearchAnswer) Failed() (out []Searched) {
	for _, s := range r.Sources {
		if s.Error != "" {
			out = append(out, s)
		}
	}
	return out
}

// source is one place to look in.
type source struct {
	name   string
	budget time.Duration
	find   func(ctx context.Context) ([]Found, error)
}

// Search looks for a text in everything that a migration has. jobs: also for a job of that id,
// in every queue of both sides. A source that fails or takes too long is named and does not keep
// the others.
func (c *Control) Search(
	ctx context.Context, a migration.Actor, mid, query string, jobs bool,
) (SearchAnswer, error) {
	query = strings.TrimSpace(query)
	out := SearchAnswer{Query: query, Found: []Found{}, Sources: []Searched{}}
	m, err := c.store.Migration(ctx, mid)
	if err != nil {
		return out, err
	}
	if len(query) > maxQuery {
		return out, migration.Errorf(migration.Invalid,
			"the text has %d bytes: at most %d are searched for", len(query), maxQuery)
	}
	if query == "" {
		return out, nil
	}
	sources := []source{
		{"runs", sourceBudget, func(ctx context.Context) ([]Found, error) {
			return c.searchRuns(ctx, m, query)
		}},
		{"orders", sourceBudget, func(ctx context.Context) ([]Found, error) {
			return c.searchOrders(ctx, mid, query)
		}},
		{"steps", sourceBudget, func(context.Context) ([]Found, error) {
			return searchSteps(m.Plan, query), nil
		}},
		{"queues", sourceBudget, func(ctx context.Context) ([]Found, error) {
			return c.searchQueues(ctx, mid, query)
		}},
		{"flags", sourceBudget, func(ctx context.Context) ([]Found, error) {
			return c.searchFlags(ctx, mid, query)
		}},
		{"alerts", sourceBudget, func(ctx context.Context) ([]Found, error) {
			return c.searchAlerts(ctx, mid, query)
		}},
		{"keys", sourceBudget, func(ctx context.Context) ([]Found, error) {
			return c.searchKeys(ctx, mid, query)
		}},
		{"people", sourceBudget, func(ctx context.Context) ([]Found, error) {
			return c.searchPeople(ctx, query)
		}},
	}
	if jobs {
		sources = slices.Insert(sources, 2, source{"jobs", jobsBudget,
			func(ctx context.Context) ([]Found, error) {
				return c.searchJobIDs(ctx, a, mid, query)
			}})
	}
	return searchAll(ctx, out, sources), nil
}

// searchAll asks every source at once, each for its budget at most, also one that does not heed
// its context: what it finds later is nobody's any more.
func searchAll(ctx context.Context, out SearchAnswer, sources []source) SearchAnswer {
	type answer struct {
		found []Found
		err   error
	}
	answers := make([]answer, len(sources))
	var all sync.WaitGroup
	for i, s := range sources {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, s.budget)
			defer cancel()
			said := make(chan answer, 1)
			go func() {
				found, err := s.find(ctx)
				said <- answer{found, err}
			}()
			select {
			case answers[i] = <-said:
			case <-ctx.Done():
				answers[i].err = ctx.Err()
			}
		})
	}
	all.Wait()
	for i, s := range sources {
		searched := Searched{Source: s.name}
		found := answers[i].found
		if err := answers[i].err; err != nil {
			searched.Error = notSearched(err, s.budget)
		}
		if len(found) > foundMost {
			found, searched.More = found[:foundMost], true
		}
		out.Found = append(out.Found, found...)
		out.Sources = append(out.Sources, searched)
	}
	return out
}

// notSearched says why a source was not searched, without what only a programmer could read.
func notSearched(err error, budget time.Duration) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return "no answer within " + migration.Words(budget)
	}
	return environment.InWords(err)
}

// matches reports whether one of the texts has each word of the query, in any case.
func matches(query string, texts ...string) bool {
	in := strings.ToLower(strings.Join(texts, " "))
	for word := range strings.FieldsSeq(strings.ToLower(query)) {
		if !strings.Contains(in, word) {
			return false
		}
	}
	return true
}

func (c *Control) searchRuns(
	ctx context.Context, m migration.Migration, query string,
) ([]Found, error) {
	runs, err := c.store.FindRuns(ctx, m.ID, RunFilter{Text: query, Limit: foundMost + 1})
	var out []Found
	for _, r := range runs {
		title := r.Step
		if st, ok := m.Plan.Step(r.Step); ok {
			title = st.Title
		}
		out = append(out, Found{
			Kind: FoundRun, ID: r.ID, Title: title + " " + r.ID,
			Detail: string(r.State) + ", requested by " + r.RequestedBy + " on " +
				r.CreatedAt.UTC().Format("2 Jan 2006, 15:04 UTC"),
		})
	}
	return out, err
}

func (c *Control) searchOrders(ctx context.Context, mid, query string) ([]Found, error) {
	_, err := c.env.Streams.Order(ctx, mid, query)
	if migration.KindOf(err) == migration.NotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return []Found{{
		Kind: FoundOrder, ID: query, Title: "Order " + query, Detail: "in the order ledger",
	}}, nil
}

func (c *Control) searchJobIDs(
	ctx context.Context, a migration.Actor, mid, query string,
) ([]Found, error) {
	found, err := c.FindJobs(ctx, a, mid, query)
	if err != nil {
		return nil, err
	}
	var out []Found
	var failed []string
	for _, side := range found.Sides {
		if side.Error != "" && (side.Side != "target" || c.provisioned(ctx)) {
			failed = append(failed, side.Side+": "+side.Error)
		}
		for _, j := range side.Jobs {
			out = append(out, Found{
				Kind: FoundJob, ID: query, In: j.Queue.String(), Title: "Job " + query,
				Detail: cmp.Or(j.State, "in no list") + " in " + j.Queue.String() + " on the " +
					side.Side,
			})
		}
	}
	return out, incomplete(failed)
}

// provisioned reports whether there is a target: one that is not there yet holds nothing.
func (c *Control) provisioned(ctx context.Context) bool {
	_, _, err := c.env.Servers.Target(ctx)
	return migration.KindOf(err) != migration.NotFound
}

// incomplete is the error of a source of which parts were not searched; nil: all were.
func incomplete(failed []string) error {
	if len(failed) == 0 {
		return nil
	}
	return migration.Errorf(migration.Unavailable, "%s", strings.Join(failed, "; "))
}

func searchSteps(p migration.Plan, query string) (out []Found) {
	for _, s := range p.Steps {
		if matches(query, s.Title, s.ID, "start run plan") {
			out = append(out, Found{Kind: FoundStep, ID: s.ID, Title: s.Title, Detail: s.Week})
		}
	}
	return out
}

func (c *Control) searchQueues(ctx context.Context, mid, query string) ([]Found, error) {
	sides := map[string][]string{}
	var failed []string
	for _, side := range c.env.Surveys.Both(ctx, c.env.Servers, mid) {
		// An old survey still names queues, and may lack new ones.
		if side.Error != "" && (side.Side != "target" || c.provisioned(ctx)) {
			failed = append(failed, side.Side+": "+side.Error)
		}
		for _, q := range side.Survey.Queues {
			if name := q.Queue.String(); matches(query, name) {
				sides[name] = append(sides[name], side.Side)
			}
		}
	}
	var out []Found
	for _, name := range slices.Sorted(maps.Keys(sides)) {
		out = append(out, Found{
			Kind: FoundQueue, ID: name, Title: name,
			Detail: "queue on the " + strings.Join(sides[name], " and the "),
		})
	}
	return out, incomplete(failed)
}

func (c *Control) searchFlags(ctx context.Context, mid, query string) ([]Found, error) {
	sets, err := c.FlagSets(ctx, mid)
	if err != nil {
		return nil, err
	}
	var out []Found
	for i, set := range sets {
		if matches(query, set.Name, set.ID) {
			out = append(out, Found{
				Kind: FoundSet, ID: set.ID, Title: set.Name, Detail: "flag set " + set.ID,
			})
		}
		if i >= setsSearched {
			continue
		}
		_, doc, err := c.document(ctx, set.ID, 0)
		if err != nil {
			return out, err
		}
		for _, key := range slices.Sorted(maps.Keys(doc.Flags)) {
			if matches(query, key) {
				out = append(out, Found{
					Kind: FoundFlag, ID: key, In: set.ID, Title: key, Detail: "flag in " + set.Name,
				})
			}
		}
	}
	if n := len(sets) - setsSearched; n > 0 {
		return out, migration.Errorf(migration.Unavailable,
			"flags are searched in the first %d of %d sets only", setsSearched, len(sets))
	}
	return out, nil
}

func (c *Control) searchAlerts(ctx context.Context, mid, query string) ([]Found, error) {
	n, err := c.notifier.Notifications(ctx, mid)
	var out []Found
	for _, a := range n.Alerts {
		if matches(query, a.Title, a.Key, "alert") {
			out = append(out, Found{
				Kind: FoundAlert, ID: a.Key, Title: a.Title,
				Detail: a.Severity + ", open since " + a.Since.UTC().Format("2 Jan, 15:04 UTC"),
			})
		}
	}
	return out, err
}

func (c *Control) searchKeys(ctx context.Context, mid, query string) ([]Found, error) {
	keys, err := c.APIKeys(ctx, mid)
	var out []Found
	for _, k := range keys {
		if matches(query, k.Name, k.ID) {
			state := "key of flag set " + k.Set
			if k.RevokedAt != nil {
				state = "revoked " + state
			}
			out = append(out, Found{
				Kind: FoundKey, ID: k.ID, In: k.Set, Title: k.Name, Detail: state,
			})
		}
	}
	return out, err
}

func (c *Control) searchPeople(ctx context.Context, query string) ([]Found, error) {
	names, err := c.store.AuditNames(ctx, query, foundMost+1)
	var out []Found
	for _, n := range names {
		out = append(out, Found{
			Kind: FoundPerson, ID: n.Name, Title: n.Name,
			Detail: "last in the audit log on " + n.Last.UTC().Format("2 Jan 2006, 15:04 UTC"),
		})
	}
	return out, err
}
