package redisconn

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/migration"
)

// Visit is a client that used a server, or tried to, since the last look.
type Visit struct {
	Client
	Connected   bool             // when the look was taken
	Connections int64            // new ones; 0: it was connected before
	Commands    map[string]int64 // by name, as far as they were seen
	Refused     int64            // writes and logins that the server refused
}

// Look is what a Watcher saw since the previous look.
type Look struct {
	At time.Time
	// Visits lists everybody seen. One without an Addr was counted by the server
	// but had left before it could be identified.
	Visits []Visit
	// Writes counts those that took effect; Unreported if the server does not count
	// them.
	Writes int64
	// Restarted means that the server's counters were reset, so what happened
	// before its start is unknown.
	Restarted bool
	// Unseen says why single commands are not seen; empty while MONITOR runs.
	Unseen string
}

// Watcher finds out who uses a server besides this process (by its client name),
// replicas, masters and sentinels. It looks at the connections, at the server's
// counters of commands, writes and refusals and, if requested, at every command
// with MONITOR, which also identifies connections that come and go between two
// looks. MONITOR does not report what the server refuses before executing it; that
// is counted by command, and its sender is identified if it sent anything else, as
// every client that authenticates does.
//
// Commands that only administer the server (INFO, PING ...) are not counted, but
// their senders are identified. Writes and scripts of this process do count, so run
// none meanwhile.
type Watcher struct {
	c       redis.UniversalClient
	monitor bool
	before  sample
	// by address, of connections listed at the last two looks
	known   map[string]Client
	counted map[int64]bool    // ids of connections reported already
	unsure  map[string]*heard // not known yet whose they are
	ahead   map[string]int64  // commands that MONITOR reported before the counters did
	mon     *monitor
	unseen  string
}

// Watch starts watching; Look reports what happens after it has returned. monitor
// turns on MONITOR, which costs the server a copy of every command, so use it where
// hardly any are expected.
func Watch(ctx context.Context, c redis.UniversalClient, monitor bool) (*Watcher, error) {
	w := &Watcher{
		c:       c,
		monitor: monitor,
		known:   map[string]Client{},
		counted: map[int64]bool{},
		unsure:  map[string]*heard{},
		ahead:   map[string]int64{},
	}
	w.listen(ctx)
	var err error
	if w.before, err = takeSample(ctx, c); err != nil {
		w.Close()
		return nil, fmt.Errorf("watch: %w", err)
	}
	return w, nil
}

// Close ends MONITOR.
func (w *Watcher) Close() {
	if w.mon != nil {
		w.mon.close()
	}
}

// listen starts MONITOR, or restarts it if it was lost.
func (w *Watcher) listen(ctx context.Context) {
	if !w.monitor {
		w.unseen = "MONITOR is not used here"
		return
	}
	var err error
	if w.mon, err = startMonitor(ctx, w.c); err != nil {
		w.mon, w.unseen = nil, "MONITOR: "+migration.PlainError(err)
		return
	}
	w.unseen = ""
}

// Look reports what was seen since the last look.
func (w *Watcher) Look(ctx context.Context) (Look, error) {
	l, err := w.look(ctx)
	if err != nil {
		return l, fmt.Errorf("watch: %w", err)
	}
	return l, nil
}

func (w *Watcher) look(ctx context.Context) (Look, error) {
	l := Look{At: time.Now()}
	// In this order MONITOR has reported everything the counters include, and
	// whoever was heard but is not listed has left.
	after, err := takeSample(ctx, w.c)
	if err != nil {
		return l, err
	}
	var told map[string]*heard
	if w.mon != nil {
		told = w.mon.take(ctx, w.c)
	}
	listed, err := Clients(ctx, w.c)
	if err != nil {
		return l, err
	}
	at := map[string]Client{}
	visits := map[string]*Visit{}
	for _, cl := range listed {
		at[cl.Addr] = cl
		if !cl.foreign() || settling(cl) {
			continue
		}
		v := &Visit{Client: cl, Connected: true, Commands: map[string]int64{}}
		if !w.counted[cl.ID] {
			v.Connections = 1
		}
		w.counted[cl.ID] = true
		visits[cl.Addr] = v
	}
	w.hear(told, at, visits)
	w.known = at
	l.Unseen = w.unseen
	if w.mon != nil && w.mon.failed() != nil {
		l.Unseen = "MONITOR was cut: " + migration.PlainError(w.mon.failed())
		w.mon.close()
		w.listen(ctx)
	} else if w.mon == nil && w.monitor {
		w.listen(ctx)
	}
	l.Restarted = w.before.runID != after.runID
	w.count(&l, after, visits)
	w.before = after
	for _, addr := range slices.Sorted(maps.Keys(visits)) {
		l.Visits = append(l.Visits, *visits[addr])
	}
	return l, nil
}

// hear processes what MONITOR reported.
func (w *Watcher) hear(
	fresh map[string]*heard, at map[string]Client, visits map[string]*Visit,
) {
	told := w.unsure
	w.unsure = map[string]*heard{}
	for addr, h := range fresh {
		if before := told[addr]; before != nil {
			h.add(before)
		}
		told[addr] = h
	}
	for addr, h := range told {
		cl, listed := at[addr]
		if !listed {
			cl = w.known[addr]
		}
		if belongs(cl.Name) || strings.ContainsAny(cl.Flags, "SM") || belongs(h.name) {
			continue
		}
		// Our connections send their name together with authenticating, so one that
		// left without doing so is not ours.
		if h.onlyIntroduced() && h.name == "" && cl.Name == "" &&
			time.Since(h.first) < settleTime && listed {
			w.unsure[addr] = h
			continue
		}
		v := visits[addr]
		if v == nil {
			cl.Addr = addr
			v = &Visit{Client: cl, Connected: listed, Commands: map[string]int64{}}
			if !w.counted[cl.ID] || cl.ID == 0 {
				v.Connections = 1
				w.counted[cl.ID] = cl.ID != 0
			}
			visits[addr] = v
		}
		if v.Name == "" {
			v.Name = h.name
		}
		if v.Library == "" {
			v.Library = h.library
		}
		v.Cmd = h.last
		for name, n := range h.commands {
			v.Commands[name] += n
		}
	}
}

// count processes what the server's own counters say about others.
func (w *Watcher) count(l *Look, after sample, visits map[string]*Visit) {
	before := w.before
	l.Writes = Unreported
	if after.changes != Unreported && before.changes != Unreported {
		l.Writes = after.changes
		// a snapshot in between resets the count
		if before.lastSave == after.lastSave {
			l.Writes = after.changes - before.changes
		}
	}
	// A key that expires on the master reaches its replicas as a DEL. Nobody else
	// can delete on a replica, and any other write shows up on the master as well.
	expired := map[string]bool{"del": after.replica, "unlink": after.replica}
	for name := range expired {
		if after.replica && l.Writes != Unreported {
			l.Writes = max(0, l.Writes-(after.commands[name]-before.commands[name]))
		}
	}
	if l.Restarted {
		// loading is not a write; what came before the first look is unknown, and
		// Restarted says so
		l.Writes = 0
	}
	if l.Restarted { // what came before is unknown, and the look says so
		l.Writes = 0
		clear(w.ahead)
		return
	}
	heard := w.ahead
	w.ahead = map[string]int64{}
	for _, v := range visits {
		for name, n := range v.Commands {
			name, _, _ = strings.Cut(name, "|")
			heard[name] += n
		}
	}
	// What MONITOR could not report belongs to somebody: to the only one there,
	// otherwise nobody knows whose it is.
	commands := map[string]int64{}
	for name, n := range after.commands {
		if refused := after.rejected[name] - before.rejected[name]; refused > 0 {
			commands[name] += refused
		}
		if housekeeping[name] || expired[name] {
			continue
		}
		switch used := n - before.commands[name] -
			(after.ownIssued[name] - before.ownAnswered[name]); {
		case used > heard[name]:
			commands[name] += used - heard[name]
		case used < heard[name]:
			w.ahead[name] = heard[name] - used
		}
	}
	refused := max(0, after.refused-before.refused)
	if refused == 0 && len(commands) == 0 {
		return
	}
	v := &Visit{Connections: 1, Commands: map[string]int64{}}
	if len(visits) == 1 {
		for _, only := range visits {
			v = only
		}
	} else {
		visits[""] = v
	}
	v.Refused = refused
	for _, name := range slices.Sorted(maps.Keys(commands)) {
		v.Commands[name] += commands[name]
		if v.Cmd == "" || introduces(v.Cmd) {
			v.Cmd = name
		}
	}
}
