package ledger

import (
	"cmp"
	"slices"
)

// Story is one order as the application recorded it.
type Story struct {
	Order        string   `json:"order"`
	Provider     string   `json:"provider,omitempty"`
	Jobs         []string `json:"jobs" nullable:"true"` // nil with Folded
	Acknowledged bool     `json:"acknowledged"`
	Applied      int      `json:"applied"`             // 1 is right
	Suppressed   int      `json:"suppressed"`          // second runs that were caught
	Different    string   `json:"different,omitempty"` // which data differ
	// Contradiction is what makes its record impossible.
	Contradiction string `json:"contradiction,omitempty"`
	// finished long ago and in order: the moments are no longer kept
	Folded  bool     `json:"folded"`
	Moments []Moment `json:"moments"`
}

// Find returns an order by its own ID or, of any queue, its job's.
func (j *Journal) Find(id string) (Story, bool) {
	j.mu.RLock()
	defer j.mu.RUnlock()
	o := j.orders[id]
	for queue := range j.queues {
		if o == nil {
			o = j.jobs[lifeKey{queue, id}]
		}
	}
	if o != nil {
		s := Story{Order: o.ID, Provider: o.Provider, Acknowledged: o.Acknowledged != 0,
			Applied: o.applied(), Different: o.differs(), Contradiction: o.Contradiction,
			Moments: slices.Clone(o.Story)}
		for _, f := range o.Jobs {
			s.Suppressed += f.Suppressed
			if f.ID != "" && !slices.Contains(s.Jobs, f.ID) {
				s.Jobs = append(s.Jobs, f.ID)
			}
		}
		return s, true
	}
	m, ok := j.known.find(hash(lifeKey{job: id}))
	for queue := range j.queues {
		if !ok {
			m, ok = j.knownJobs.find(hash(lifeKey{queue, id}))
		}
	}
	if !ok {
		return Story{}, false
	}
	return Story{
		Order:        id,
		Acknowledged: true,
		Applied:      1,
		Folded:       true,
		Moments: []Moment{{m,
			"added, acknowledged and applied once in the minute starting then"}},
	}, true
}

// RetryStory is what became of an event of a provider that was answered 503, or of an
// order that the durable intake kept.
type RetryStory struct {
	Order string `json:"order"`
	// Event is the provider's id of the event; "" when the journal does not tell it, or
	// the story is of all of an order's events.
	Event string `json:"event"`
	// as the journal names it; empty when it does not
	Provider     string     `json:"provider"`
	Deliveries   []Delivery `json:"deliveries"`   // all of them, in order of arrival
	Acknowledged bool       `json:"acknowledged"` // any of these deliveries was
	// Recovered: one of them was acknowledged after the first refusal.
	Recovered bool `json:"recovered"`
	Applied   int  `json:"applied"` // 1 is right; 0 while a job of the order has not run
	// RecoveredAfterMS is the time from the first 503 to the first acknowledgement
	// after it; 0 while there is none.
	RecoveredAfterMS int64 `json:"recovered_after_ms"`
}

// Repeated reports whether the event had been acknowledged before it was first refused: its
// provider sent it once more, and owes nothing. Without an id nobody knows which event was.
func (r RetryStory) Repeated() bool {
	first := slices.IndexFunc(r.Deliveries, func(d Delivery) bool {
		return d.Status == 503 || d.acknowledges()
	})
	return r.Event != "" && first >= 0 && r.Deliveries[first].acknowledges()
}

// effects is how often the order took effect, 0 while it has not in full.
func (o *order) effects() int {
	if n := o.applied(); n > 1 || o.fulfilled() {
		return n
	}
	return 0
}

// Kept returns every order that the app's durable intake accepted between sinceMS
// and untilMS (unix ms, inclusive) and that had no job until then: the orders held
// up by an outage that lasted until untilMS. RecoveredAfterMS is the time until the
// job was added. Earliest first.
func (j *Journal) Kept(sinceMS, untilMS int64) []RetryStory {
	j.mu.RLock()
	defer j.mu.RUnlock()
	type held struct {
		at int64
		s  RetryStory
	}
	var found []held
	for _, o := range j.orders {
		if o.Kept < sinceMS || o.Kept > untilMS || o.Added != 0 && o.Added < untilMS {
			continue
		}
		s := RetryStory{
			Order:        o.ID,
			Provider:     o.Provider,
			Deliveries:   slices.Clone(o.Deliveries),
			Acknowledged: o.Acknowledged != 0,
			Applied:      o.effects(),
		}
		if o.Added != 0 {
			s.RecoveredAfterMS = o.Added - o.Kept
		}
		found = append(found, held{o.Kept, s})
	}
	slices.SortFunc(found, func(a, b held) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.s.Order, b.s.Order))
	})
	out := make([]RetryStory, len(found))
	for i, f := range found {
		out[i] = f.s
	}
	return out
}

// Retries returns every event of a provider that was answered 503 at or after sinceMS
// (unix ms), earliest first. An event comes again by its own id: that another event of
// the same order was acknowledged says nothing of it.
func (j *Journal) Retries(sinceMS int64) []RetryStory {
	j.mu.RLock()
	defer j.mu.RUnlock()
	var out []RetryStory
	for _, o := range j.orders {
		for _, of := range o.refused() {
			if !slices.ContainsFunc(of, func(d Delivery) bool {
				return d.Status == 503 && d.At >= sinceMS
			}) {
				continue
			}
			after, ok := recovered(of)
			out = append(out, RetryStory{
				Order: o.ID, Event: of[0].Event, Provider: cmp.Or(of[0].Provider, o.Provider),
				Deliveries:   slices.Clone(of),
				Acknowledged: slices.ContainsFunc(of, Delivery.acknowledges),
				Recovered:    ok, Applied: o.effects(), RecoveredAfterMS: after,
			})
		}
	}
	slices.SortFunc(out, func(a, b RetryStory) int {
		return cmp.Or(cmp.Compare(a.Deliveries[0].At, b.Deliveries[0].At),
			cmp.Compare(a.Order, b.Order), cmp.Compare(a.Event, b.Event))
	})
	return out
}
