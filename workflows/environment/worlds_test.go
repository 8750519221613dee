package environment

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/fleet"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn"
)

// process is one that reads the flags, as it really is.
type process struct {
	who      fleet.Who
	says     fleet.Attestation
	holds    int64
	ids      []int64 // of its connections, at least one while it lives
	heard    bool    // it has attested at least once
	told     int64   // the revision that it attested last
	connects bool    // it attests its connections
}

// fleets is a world of processes, and two replicas of Switchyard that hear of them.
type fleets struct {
	r        *rand.Rand
	now      time.Time
	alive    []*process
	replicas [2]*Workers
	rows     map[string][]fleet.Heard // as each replica, or its former self, last said
	at       map[string]time.Time
	names    [2]string
	nextID   int64
	log      []string
}

// wanted is the revision that is asked for, newest the last one that there is.
const wanted, newest = 5, 6

func (w *fleets) workers() *Workers {
	return &Workers{Fleet: fleet.New(func() time.Time { return w.now }),
		newest: func(string) int64 { return newest },
		now:    func() time.Time { return w.now }}
}

func (w *fleets) note(format string, args ...any) {
	w.log = append(w.log, fmt.Sprintf(format, args...))
}

func (w *fleets) connect(p *process) {
	w.nextID++
	p.ids = []int64{w.nextID}
}

// begin starts a process, sometimes under the name of one that is there.
func (w *fleets) begin() {
	p := &process{holds: int64(3 + w.r.IntN(4)), connects: w.r.IntN(3) > 0}
	p.who = fleet.Who{Set: mid, KeyID: fmt.Sprint("k", w.r.IntN(2)),
		Address: fmt.Sprint("10.0.0.", w.r.IntN(3))}
	p.says = fleet.Attestation{Service: "shop", Instance: fmt.Sprint("web.", w.r.IntN(3)),
		Process: fmt.Sprint("p", w.r.Int64())}
	w.connect(p)
	w.alive = append(w.alive, p)
	w.note("%s begins at %s with %d", p.says.Instance, p.who.Address, p.holds)
}

func (w *fleets) attest(p *process, leaving bool) {
	a := p.says
	a.Revision, a.Leaving = p.holds, leaving
	if p.connects {
		a.Connections = []fleet.Connection{{Side: "source", Role: "producer", RunID: "run",
			ClientIDs: p.ids}}
	}
	i := w.r.IntN(2)
	_ = w.replicas[i].Attest(a, p.who)
	p.heard, p.told = true, p.holds
	w.note("%s attests %d to %d, leaving %t", a.Instance, p.holds, i, leaving)
}

// stranger is a key of another flag set that uses the names of this one.
func (w *fleets) stranger() {
	a := fleet.Attestation{Service: "shop", Instance: fmt.Sprint("web.", w.r.IntN(3)),
		Revision: 9, Leaving: w.r.IntN(2) == 0}
	if len(w.alive) > 0 {
		p := w.alive[w.r.IntN(len(w.alive))]
		a.Process, a.Instance = p.says.Process, p.says.Instance
		a.Connections = []fleet.Connection{{Side: "source", Role: "producer", RunID: "run",
			ClientIDs: p.ids}}
	}
	_ = w.replicas[w.r.IntN(2)].Attest(a, fleet.Who{Set: "other", KeyID: "k9",
		Address: "10.0.0.1"})
	w.note("a stranger says that it is %s, leaving %t", a.Instance, a.Leaving)
}

func (w *fleets) step() {
	w.now = w.now.Add(time.Duration(w.r.IntN(3000)) * time.Millisecond)
	var p *process
	i := 0
	if len(w.alive) > 0 {
		i = w.r.IntN(len(w.alive))
		p = w.alive[i]
	}
	switch n := w.r.IntN(20); {
	case n == 0 || p == nil:
		w.begin()
	case n == 1:
		w.stranger()
	case n == 2: // it dies
		w.alive = append(w.alive[:i:i], w.alive[i+1:]...)
		w.note("%s dies", p.says.Instance)
	case n == 3: // says that it leaves, and goes on for a while
		w.attest(p, true)
	case n == 4: // connects again, which nobody hears of yet
		w.connect(p)
		w.note("%s connects again", p.says.Instance)
	case n == 5: // takes a revision over
		p.holds++
	case n == 6: // one replica of Switchyard is killed and started again
		k := w.r.IntN(2)
		w.replicas[k], w.names[k] = w.workers(), fmt.Sprint("replica", w.r.Int64())
		w.note("replica %d starts again", k)
	case n == 7: // everybody is silent
		w.now = w.now.Add(time.Duration(w.r.IntN(40)) * time.Second)
		w.note("silence")
	case n == 8: // all speak
		for _, p := range w.alive {
			w.attest(p, false)
		}
	default:
		w.attest(p, false)
	}
	for k, r := range w.replicas { // as they tell each other
		w.rows[w.names[k]], w.at[w.names[k]] = r.Own(), w.now
	}
	for k, r := range w.replicas {
		for name, heard := range w.rows {
			if name != w.names[k] {
				r.Merge(name, heard, w.at[name])
			}
		}
		for _, id := range r.Silent() {
			delete(w.rows, id)
			for _, each := range w.replicas {
				each.Forgotten(id)
			}
		}
	}
}

// lists is what the server says of who is connected.
func (w *fleets) lists(lines []fleet.Line) []list {
	l := list{address: "source", runID: "run"}
	for _, p := range w.alive {
		for _, id := range p.ids {
			l.clients = append(l.clients, redisconn.Client{ID: id, Addr: p.who.Address + ":1",
				Cmd: "evalsha"})
		}
	}
	l.owners = l.attested(lines)
	return []list{l}
}

// truth: everybody who was heard and lives uses the revision, and nobody has said that he is ahead.
func (w *fleets) truth() (holds bool, who string) {
	for _, p := range w.alive {
		if p.heard && (p.holds < wanted || p.told > newest) {
			return false, fmt.Sprintf("%s (%s) holds %d", p.says.Instance, p.says.Process, p.holds)
		}
	}
	return true, ""
}

func TestNoWorldOfWorkersIsGreenWhileOneThatLivesIsBehind(t *testing.T) {
	t.Parallel()
	greens, truths := 0, 0
	for seed := range uint64(300) {
		w := &fleets{r: rand.New(rand.NewPCG(seed, 1)), rows: map[string][]fleet.Heard{},
			at: map[string]time.Time{}, names: [2]string{"a", "b"},
			now: time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)}
		w.replicas = [2]*Workers{w.workers(), w.workers()}
		for range 60 {
			w.step()
			at := w.replicas[w.r.IntN(2)]
			lines := at.Lines(mid)
			at.forget(lines, func() []list { return w.lists(lines) })
			verdict := at.asHeard(mid, wanted, true).Verdict()
			holds, who := w.truth()
			if holds && len(w.alive) > 0 {
				truths++
			}
			if verdict != migration.Met {
				continue
			}
			if greens++; !holds {
				t.Fatalf("world %d is green, and %s:\n%s", seed, who, strings.Join(w.log, "\n"))
			}
		}
	}
	if greens == 0 {
		t.Error("no world was ever green")
	}
	t.Logf("%d greens of %d moments at which it was true", greens, truths)
}
