package evidence

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
)

// estate is what there really is at one moment.
type estate struct {
	hosts                    []host
	target                   []database // one, or none before it is provisioned
	builds, producers, setup []string
}

// host is one server behind the source; run counts its restarts, all hosts together.
type host struct {
	at      string
	db, run int
	primary bool
}

type database struct {
	id, at string
	run    int // 0: it tells none
}

func (e estate) copy() estate {
	return estate{slices.Clone(e.hosts), slices.Clone(e.target), slices.Clone(e.builds),
		slices.Clone(e.producers), slices.Clone(e.setup)}
}

// aspects are the parts of an estate: what Switchyard calls what is there, and whether all that
// is there now was there then.
var aspects = map[migration.Aspect]struct {
	names func(estate) []string
	held  func(then, now estate) bool
}{
	migration.AspectSource: {
		func(e estate) []string { return hostNames(e, true) },
		func(then, now estate) bool { return allIn(now.hosts, then.hosts) },
	},
	migration.AspectNodes: {
		func(e estate) []string { return hostNames(e, false) },
		func(then, now estate) bool {
			return !slices.ContainsFunc(now.hosts, func(n host) bool {
				return !slices.ContainsFunc(then.hosts, func(t host) bool {
					return t.at == n.at && t.db == n.db && t.run == n.run
				})
			})
		},
	},
	migration.AspectTarget: {
		func(e estate) (out []string) {
			for _, d := range e.target {
				out = append(out, fmt.Sprintf("database %s at %s run %d", d.id, d.at, d.run))
			}
			return out
		},
		func(then, now estate) bool { return allIn(now.target, then.target) },
	},
	migration.AspectDatabase: {
		func(e estate) (out []string) {
			for _, d := range e.target {
				out = append(out, "database "+d.id)
			}
			return out
		},
		func(then, now estate) bool {
			return !slices.ContainsFunc(now.target, func(n database) bool {
				return !slices.ContainsFunc(then.target, func(t database) bool { return t.id == n.id })
			})
		},
	},
	migration.AspectApp: {func(e estate) []string { return slices.Clone(e.builds) },
		func(then, now estate) bool { return allIn(now.builds, then.builds) }},
	migration.AspectProducers: {func(e estate) []string { return slices.Clone(e.producers) },
		func(then, now estate) bool { return allIn(now.producers, then.producers) }},
	migration.AspectSetup: {func(e estate) []string { return slices.Clone(e.setup) },
		func(then, now estate) bool { return allIn(now.setup, then.setup) }},
}

func hostNames(e estate, roles bool) (out []string) {
	for _, h := range e.hosts {
		name := fmt.Sprintf("%s/%d run %040x", h.at, h.db, h.run)
		if roles {
			name += map[bool]string{true: " primary", false: " replica"}[h.primary]
		}
		out = append(out, name)
	}
	return out
}

func allIn[T comparable](some, all []T) bool {
	return !slices.ContainsFunc(some, func(x T) bool { return !slices.Contains(all, x) })
}

// doubts are the rows that are unknown only because of somebody of whom nothing is known.
var doubts = map[string][]string{
	"a provider none of whose orders was refused": {"sender:Shopify", "sender:COPE"},
	"jobs in another database":                    {"residue:source/db1/bull:mail"},
	"keys of no queue":                            {"residue:source/db0/other keys"},
}

// told is a piece of evidence, and what it is worth.
type told struct {
	migration.Evidence
	says   migration.Verdict
	doubts []string  // whom a person would have to waive
	until  time.Time // a decision in it counts; zero: it has none
	of     estate
	knows  []migration.Aspect // of the estate
}

// sight is what Switchyard saw of an aspect, and when by its clock.
type sight struct {
	of estate
	at time.Time
}

// truth is a world that knows what is there, and what of it was seen and told.
type truth struct {
	*rand.Rand
	now      time.Time // by Switchyard's clock
	is       estate
	runs     int
	checks   []string
	saw      map[migration.Aspect]sight
	seen     migration.World // the same, for the product
	told     map[string][]told
	undone   map[string]bool
	waivers  []migration.Waiver
	complete bool
}

func openTruth(seed uint64) *truth {
	w := &truth{Rand: rand.New(rand.NewPCG(seed, 11)), now: noon, runs: 9,
		saw: map[migration.Aspect]sight{}, told: map[string][]told{}, undone: map[string]bool{},
		is: estate{
			hosts: []host{{"10.0.0.1:6379", 0, 1, true}, {"10.0.0.2:6379", 0, 2, false},
				{"10.0.0.3:6379", 0, 3, false}},
			target: []database{{"db1", "up:6379", 4}},
			builds: []string{"shop 1.0"}, producers: []string{"orders"},
			setup: []string{"queue orders", "sender stripe"},
		}}
	all := IDs()
	w.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	w.checks = all[:4]
	return w
}

func (w *truth) chance(percent int) bool { return w.IntN(100) < percent }

func pick[T any](w *truth, of ...T) T { return of[w.IntN(len(of))] }

// passes lets time go by, mostly little.
func (w *truth) passes() {
	unit := pick(w, time.Second, time.Minute, time.Minute, time.Minute, time.Hour, day)
	w.now = w.now.Add(time.Duration(w.IntN(40)) * unit)
}

// jumps sets Switchyard's clock.
func (w *truth) jumps() {
	w.now = w.now.Add(pick(w, -30*time.Second, -5*time.Minute, -3*time.Hour, -2*day,
		20*time.Second, 10*time.Minute, 2*day))
}

// changes are what may befall an estate.
var changes = map[string]func(w *truth){
	"a server restarts": func(w *truth) { w.host().run = w.run() },
	"a failover": func(w *truth) {
		for i := range w.is.hosts {
			w.is.hosts[i].primary = false
		}
		w.host().primary = true
	},
	"another database number": func(w *truth) { w.host().db = w.IntN(2) },
	"two servers swap their addresses": func(w *truth) {
		a, b := w.host(), w.host()
		a.at, b.at = b.at, a.at
	},
	"some servers are gone": func(w *truth) {
		w.is.hosts = w.is.hosts[w.IntN(len(w.is.hosts)+1):]
	},
	"a new server": func(w *truth) {
		w.is.hosts = append(w.is.hosts, host{fmt.Sprintf("10.0.1.%d:6379", w.run()), 0, w.runs,
			false})
	},
	"another target":       func(w *truth) { w.targets("db2", "up2:6379", w.run()) },
	"the target restarts":  func(w *truth) { w.targets("db1", "up:6379", w.run()) },
	"a target without ids": func(w *truth) { w.targets("db1", "up:6379", 0) },
	"the target is gone":   func(w *truth) { w.is.target = nil },
	"a new build beside the old": func(w *truth) {
		w.is.builds = append(w.is.builds, fmt.Sprintf("shop 1.%d", w.run()))
	},
	"the newest build alone": func(w *truth) { w.is.builds = w.is.builds[len(w.is.builds)-1:] },
	"a new producer": func(w *truth) {
		w.is.producers = append(w.is.producers, fmt.Sprintf("queue%d", w.IntN(3)))
	},
	"one producer is left": func(w *truth) { w.is.producers = w.is.producers[:1] },
	"another queue is routed": func(w *truth) {
		w.is.setup = append(w.is.setup, fmt.Sprintf("queue orders%d", w.IntN(3)))
	},
	"a sender is let go": func(w *truth) { w.is.setup = w.is.setup[:1] },
}

func (w *truth) targets(id, at string, run int) { w.is.target = []database{{id, at, run}} }

func (w *truth) run() int {
	w.runs++
	return w.runs
}

// host gives one of the servers; one that is nowhere where there is none.
func (w *truth) host() *host {
	if len(w.is.hosts) == 0 {
		return &host{}
	}
	return &w.is.hosts[w.IntN(len(w.is.hosts))]
}

// look looks at some aspects, and gives those that could be looked at.
func (w *truth) look(at []migration.Aspect, failing int) migration.Subject {
	seen := migration.Subject{}
	for _, a := range at {
		if !w.chance(failing) {
			w.saw[a] = sight{w.is.copy(), w.now}
			seen[a] = aspects[a].names(w.is)
		}
	}
	w.seen = w.seen.Look(w.now, seen)
	return seen
}

// tells gathers evidence of a check.
func (w *truth) tells(check string, good int) {
	t := told{Evidence: migration.Evidence{Check: check, ObservedAt: w.now,
		RunID: pick(w, "", fmt.Sprint("run-", w.IntN(2)), fmt.Sprint("run-", w.run()))},
		of: w.is.copy()}
	w.facts(&t, good)
	if t.Subject = w.look(promised[check].about, 3); w.chance(3) {
		t.Subject = nil // of an earlier version
	}
	for a := range t.Subject {
		t.knows = append(t.knows, a)
	}
	w.told[check] = append(w.told[check], t)
}

// facts gives evidence what it says: often what holds, sometimes anything.
func (w *truth) facts(t *told, good int) {
	all := rows[t.Check]
	if w.chance(good) {
		all = slices.DeleteFunc(slices.Clone(all), func(r row) bool {
			return r.want != met && doubts[r.rule] == nil
		})
	}
	r := all[w.IntN(len(all))]
	t.says, t.doubts = r.want, doubts[r.rule]
	if t.doubts != nil {
		t.says = met
	}
	switch {
	case w.chance(4):
		r.facts, t.says = pick(w, "", "null", "[]", "{", r.facts[:len(r.facts)/2],
			`{"older_form":1,`+r.facts[1:]), unknown
	case t.Check == Scan && r.rule == "one was decided on":
		t.until = w.now.Add(time.Duration(w.IntN(200)-20) * time.Hour).Truncate(time.Second)
		r.facts = strings.Replace(r.facts, "2027-01-01T00:00:00Z",
			t.until.Format(time.RFC3339), 1)
	case t.Check == Attestation || t.Check == Intake:
		asked, says, doubts := w.workers()
		raw, _ := json.Marshal(asked)
		r.facts = `{"asked":` + string(raw) + "," + r.facts[1:]
		if t.doubts = doubts; t.says == met {
			t.says = says
		}
	}
	t.Facts = json.RawMessage(r.facts)
}

// workers is whom a look at the app asked.
func (w *truth) workers() (c migration.Coverage, says migration.Verdict, doubts []string) {
	says, c.Of = met, "worker"
	for n := range w.IntN(4) {
		m := migration.Member{Key: fmt.Sprintf("worker:shop/%d", n), Name: "w", Verdict: met}
		switch w.IntN(12) {
		case 0:
			m.Verdict, says = unmet, unmet
		case 1, 2:
			m.Verdict = pick(w, unknown, stale, "", "no word of ours")
			doubts = append(doubts, m.Key)
			if w.chance(30) { // stored along; what counts is what people say now
				m.Waiver = &migration.Waiver{Member: m.Key, Until: w.now.Add(day)}
			}
		}
		c.Members = append(c.Members, m)
	}
	return c, says, doubts
}

// waives has a person sign something, or take it back.
func (w *truth) waives() {
	if len(w.waivers) > 0 && w.chance(20) {
		at := w.now
		w.waivers[w.IntN(len(w.waivers))].RevokedAt = &at
		return
	}
	who := []string{"worker:shop/0", "worker:shop/1", "worker:shop/2", "sender:Shopify",
		"sender:COPE", "residue:source/db1/bull:mail", "residue:source/db0/other keys"}
	for _, member := range who {
		if w.chance(70) {
			if w.chance(5) {
				member = pick(w, member+"0", member[:len(member)-1], "worker:", "*")
			}
			w.waivers = append(w.waivers, migration.Waiver{Member: member, By: "grace",
				At:    w.now.Add(pick(w, 0, 0, 0, 30*time.Second, 2*time.Hour)),
				Until: w.now.Add(pick(w, 10*time.Minute, time.Hour, 5*day))})
		}
	}
}

// step lets one thing happen.
func (w *truth) step() {
	every := migration.Empty()
	switch n := w.IntN(20); {
	case n < 9:
		w.tells(pick(w, w.checks...), 85)
	case n < 11:
		w.passes()
	case n < 12:
		w.jumps()
	case n < 15:
		changes[pick(w, changeNames...)](w)
	case n < 17:
		w.look(keys(every), 10)
	case n < 18:
		w.undone[fmt.Sprint("run-", w.IntN(w.runs))] = true
	default:
		w.waives()
	}
}

func keys[K interface{ ~string }, V any](m map[K]V) (out []K) {
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

var changeNames = keys(changes)

// plan is any plan of the checks of this world; some ask for what nobody ever told, or for a
// check that this version does not have.
func (w *truth) plan() (p migration.Plan) {
	all := append(slices.Clone(w.checks), w.checks...)
	all = append(all, pick(w, Off, Policy, "of-a-later-version"))
	for n := range 2 + w.IntN(4) {
		c := migration.Criterion{ID: fmt.Sprint("c", n)}
		for range pick(w, 1, 1, 1, 2, 3) {
			r := migration.Requirement{Check: pick(w, all...), MinCount: pick(w, 0, 0, 0, 1, 2, 3)}
			r.MaxAge = pick(w, 0, 5*time.Minute, time.Hour, day, 30*day, promised[r.Check].age)
			if w.chance(40) {
				r.Until = fmt.Sprint("c", w.IntN(6))
			}
			c.Requires = append(c.Requires, r)
		}
		if w.chance(2) {
			c.Requires = nil
		}
		p.Criteria = append(p.Criteria, c)
	}
	return p
}

func (w *truth) basis() Basis {
	b := Basis{At: w.now, Latest: map[string]migration.Evidence{},
		History: map[string][]migration.Evidence{}, World: w.seen, Complete: w.complete,
		Undone: w.undone, Waivers: w.waivers}
	for check, all := range w.told {
		for _, t := range slices.Backward(all) {
			b.History[check] = append(b.History[check], t.Evidence)
		}
		b.Latest[check] = b.History[check][0]
	}
	b.Latest["of-a-later-version"] = migration.Evidence{Facts: json.RawMessage(`{}`)}
	return b
}

// live lets a world go on for a while; most end with a round of looks.
func (w *truth) live() {
	for range 4 + w.IntN(20) {
		w.step()
	}
	w.complete = w.chance(25)
	if w.chance(70) {
		w.look(keys(migration.Empty()), 1)
		for _, check := range w.checks {
			if w.chance(60) {
				w.tells(check, 97)
			}
		}
		for range w.IntN(3) {
			w.step()
		}
	}
}
