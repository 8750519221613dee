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
	// finished long ago and in order: the moments are no longer kept
	Folded  bool     `json:"folded"`
	Moments []Moment `json:"moments"`
}

// Find returns an order by its own ID or its job's.
func (j *Journal) Find(id string) (Story, bool) {
	j.mu.RLock()
	defer j.mu.RUnlock()
	o := j.orders[id]
	if o == nil {
		o = j.jobs[id]
	}
	if o != nil {
		return Story{Order: o.id, Provider: o.provider, Jobs: slices.Clone(o.jobs),
			Acknowledged: o.acknowledged != 0, Applied: o.applied, Suppressed: o.suppressed,
			Different: o.differs(""), Moments: slices.Clone(o.story)}, true
	}
	h := hash(lifeKey{job: id})
	m, ok := j.known.find(h)
	if !ok {
		m, ok = j.knownJobs.find(h)
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

// RetryStory is what became of an order that was answered 503.
type RetryStory struct {
	Order string `json:"order"`
	// as the journal names it; empty when it does not
	Provider     string     `json:"provider"`
	Deliveries   []Delivery `json:"deliveries"` // all of them, in order of arrival
	Acknowledged bool       `json:"acknowledged"`
	Applied      int        `json:"applied"` // 1 is right
	// RecoveredAfterMS is the time from the first 503 to the first acknowledgement
	// after it; 0 while there is none.
	RecoveredAfterMS int64 `json:"recovered_after_ms"`
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
		if o.kept < sinceMS || o.kept > untilMS || o.added != 0 && o.added < untilMS {
			continue
		}
		s := RetryStory{
			Order:        o.id,
			Provider:     o.provider,
			Deliveries:   slices.Clone(o.deliveries),
			Acknowledged: o.acknowledged != 0,
			Applied:      o.applied,
		}
		if o.added != 0 {
			s.RecoveredAfterMS = o.added - o.kept
		}
		found = append(found, held{o.kept, s})
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

// Retries returns every order that was answered 503 at or after sinceMS (unix ms),
// earliest first.
func (j *Journal) Retries(sinceMS int64) []RetryStory {
	j.mu.RLock()
	defer j.mu.RUnlock()
	var out []RetryStory
	for _, o := range j.orders {
		if slices.ContainsFunc(o.deliveries, func(d Delivery) bool {
			return d.Status == 503 && d.At >= sinceMS
		}) {
			out = append(out, RetryStory{Order: o.id, Provider: o.provider,
				Deliveries: slices.Clone(o.deliveries), Acknowledged: o.acknowledged != 0,
				Applied:          o.applied,
				RecoveredAfterMS: o.recoveredAfter()})
		}
	}
	slices.SortFunc(out, func(a, b RetryStory) int {
		return cmp.Or(cmp.Compare(a.Deliveries[0].At, b.Deliveries[0].At),
			cmp.Compare(a.Order, b.Order))
	})
	return out
}
