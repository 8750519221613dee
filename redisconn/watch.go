package redisconn

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// Visit is somebody who used a server, or tried to, since the last look.
type Visit struct {
	Client
	Connected   bool             // when the look was taken
	Connections int64            // new ones; 0: it was connected before
	Commands    map[string]int64 // by name, as far as they could be seen
	Refused     int64            // writes and sign-ins that the server refused
}

// Look is what a Watcher saw since the look before.
type Look struct {
	At time.Time
	// Visits are all that were seen. One whose Addr is empty was counted by the server
	// and had left before anybody could see who it was.
	Visits []Visit
	// Writes are those that took effect; Unreported where the server does not count them.
	Writes int64
	// Restarted: the server's counters begin anew, so what happened before its start is
	// not known.
	Restarted bool
	// Unseen says why single commands are not seen; empty while MONITOR runs.
	Unseen string
}

// Watcher tells who uses a server besides this process (by its client name), replicas,
// masters and sentinels. It looks at the connections, at the server's counters of
// commands, writes and refusals and, where that is asked for, at every command with
// MONITOR, which also names connections that come and go between two looks. MONITOR
// does not show what the server refuses before it carries it out; that is counted, by
// command, and its sender named if it sent anything else, as every client does that
// signs in.
//
// Commands that only look after the server (INFO, PING ...) do not count in the
// counters, but their senders are named. Writes and scripts of this process do count,
// so run none meanwhile.
type Watcher struct {
	c       redis.UniversalClient
	monitor bool
	before  sample
	// by address, of connections that were listed at the last two looks
	known   map[string]Client
	counted map[int64]bool    // ids of connections that were told of
	unsure  map[string]*heard // not known yet whose they are
	ahead   map[string]int64  // commands that MONITOR showed and the counters did not have yet
	mon     *monitor
	unseen  string
}

// Watch begins to watch; what comes after it returned is told by Look. monitor asks for
// MONITOR: it costs the server a copy of every command, so use it where next to none
// are expected.
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

// listen starts MONITOR, again where it was lost.
func (w *Watcher) listen(ctx context.Context) {
	if !w.monitor {
		w.unseen = "MONITOR is not used here"
		return
	}
	var err error
	if w.mon, err = startMonitor(ctx, w.c); err != nil {
		w.mon, w.unseen = nil, "MONITOR: "+err.Error()
		return
	}
	w.unseen = ""
}

// Look tells what was seen since the last look.
func (w *Watcher) Look(ctx context.Context) (Look, error) {
	l, err := w.look(ctx)
	if err != nil {
		return l, fmt.Errorf("watch: %w", err)
	}
	return l, nil
}

func (w *Watcher) look(ctx context.Context) (Look, error) {
	l := Look{At: time.Now()}
	// In this order MONITOR has shown everything that the counters have, and who was
	// heard and is not listed has left.
	after, err := takeSample(ctx, w.c)
	if err != nil {
		return l, err
	}
	var told map[string]*heard
	if w.mon != nil {
		told = w.mon.take(ctx, w.c)
	}
	listed, err := clients(ctx, w.c)
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
		l.Unseen = "MONITOR was cut: " + w.mon.failed().Error()
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

// settleTime is how long a connection may take to say who it is: one of ours does so
// right after it signed in.
const settleTime = time.Second

// settling reports that a new connection has only signed in so far.
func settling(cl Client) bool {
	return cl.Name == "" && cl.AgeSec < int64(settleTime/time.Second) && introduces(cl.Cmd)
}

// introduces reports whether a command only says who its sender is.
func introduces(command string) bool {
	switch command {
	case "auth", "hello", "select", "client|setname", "client|setinfo", "client|id":
		return true
	}
	return false
}

// hear takes in what MONITOR told.
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
		// Ours say their name in one breath with signing in, so one that has gone
		// without doing so is not ours.
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

// count takes in what the server's own counters say of others.
func (w *Watcher) count(l *Look, after sample, visits map[string]*Visit) {
	before := w.before
	l.Writes = Unreported
	if after.changes != Unreported && before.changes != Unreported {
		l.Writes = after.changes
		// a snapshot in between starts the count at zero again
		if before.lastSave == after.lastSave {
			l.Writes = after.changes - before.changes
		}
	}
	// A key that expires on the master reaches its replicas as a DEL. Nobody else can
	// delete on a replica, and any other write shows on the master as well.
	expired := map[string]bool{"del": after.replica, "unlink": after.replica}
	for name := range expired {
		if after.replica && l.Writes != Unreported {
			l.Writes = max(0, l.Writes-(after.commands[name]-before.commands[name]))
		}
	}
	if l.Restarted {
		// loading is none; what came before the first look is not known, and Restarted
		// says so
		l.Writes = 0
	}
	if l.Restarted { // what came before is not known, and the look says so
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
	// What MONITOR could not show is somebody's: of the only one who is there, else
	// nobody knows whose.
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

// heard is what MONITOR showed of one connection.
type heard struct {
	name, library, last string
	commands            map[string]int64
	first               time.Time
}

func (h *heard) add(before *heard) {
	if h.name == "" {
		h.name = before.name
	}
	if h.library == "" {
		h.library = before.library
	}
	h.first = before.first
	for name, n := range before.commands {
		h.commands[name] += n
	}
}

func (h *heard) onlyIntroduced() bool {
	for name := range h.commands {
		if !introduces(name) {
			return false
		}
	}
	return true
}

const (
	// maxHeard bounds how many connections are told apart between two looks; more are
	// one, without an address.
	maxHeard = 1000
	// maxLine is how much of a command MONITOR's reader keeps: its name and who sent it
	// come first.
	maxLine = 512
)

// monitor is a connection on which the server shows every command.
type monitor struct {
	conn  net.Conn
	in    *bufio.Reader
	ended chan struct{}

	mu     sync.Mutex
	heard  map[string]*heard
	err    error
	mark   string // that is waited for
	marked chan map[string]*heard
}

// marks makes every mark another one.
var marks atomic.Int64

// take gives what was shown since the last call and before this one. It waits for that,
// but only for a moment: the connection may be slow or gone.
func (m *monitor) take(ctx context.Context, c redis.UniversalClient) map[string]*heard {
	mark, marked := fmt.Sprintf("switchyard-%d", marks.Add(1)), make(chan map[string]*heard, 1)
	m.mu.Lock()
	m.mark, m.marked = mark, marked
	m.mu.Unlock()
	if c.Do(ctx, "PING", mark).Err() != nil {
		return nil
	}
	late := time.NewTimer(time.Second)
	defer late.Stop()
	select {
	case told := <-marked:
		return told
	case <-m.ended:
	case <-ctx.Done():
	case <-late.C:
	}
	return nil
}

func startMonitor(ctx context.Context, c redis.UniversalClient) (*monitor, error) {
	has, ok := c.(interface{ Options() *redis.Options })
	if !ok {
		return nil, fmt.Errorf("a client of type %T has no single server", c)
	}
	o := has.Options()
	conn, err := o.Dialer(ctx, "tcp", o.Addr)
	if err != nil {
		return nil, Explain(err)
	}
	m := &monitor{
		conn:  conn,
		in:    bufio.NewReaderSize(conn, 64<<10),
		ended: make(chan struct{}),
		heard: map[string]*heard{},
	}
	requests := [][]string{{"CLIENT", "SETNAME", ClientName + "-watch"}, {"MONITOR"}}
	if o.Password != "" {
		auth := []string{"AUTH", o.Username, o.Password}
		if o.Username == "" {
			auth = []string{"AUTH", o.Password}
		}
		requests = append([][]string{auth}, requests...)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	for _, args := range requests {
		if err := m.ask(args); err != nil {
			_ = conn.Close()
			return nil, Explain(err)
		}
	}
	if err := conn.SetDeadline(time.Time{}); err != nil {
		_ = conn.Close()
		return nil, err
	}
	go m.read()
	return m, nil
}

func (m *monitor) ask(args []string) error {
	p := fmt.Appendf(nil, "*%d\r\n", len(args))
	for _, a := range args {
		p = fmt.Appendf(p, "$%d\r\n%s\r\n", len(a), a)
	}
	if err := m.conn.SetDeadline(time.Now().Add(readTimeout)); err != nil {
		return err
	}
	if _, err := m.conn.Write(p); err != nil {
		return err
	}
	line, err := m.line()
	if err == nil && !strings.HasPrefix(line, "+OK") {
		err = errors.New(strings.TrimPrefix(line, "-"))
	}
	return err
}

// line reads one line and keeps its beginning.
func (m *monitor) line() (string, error) {
	var kept []byte
	for {
		part, err := m.in.ReadSlice('\n')
		kept = append(kept, part[:min(len(part), maxLine-len(kept))]...)
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		return strings.TrimRight(string(kept), "\r\n"), err
	}
}

func (m *monitor) read() {
	defer close(m.ended)
	for {
		line, err := m.line()
		m.mu.Lock()
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = errors.New("the server closed the connection")
			}
			m.err = err
			m.mu.Unlock()
			return
		}
		m.tell(line)
		m.mu.Unlock()
	}
}

// tell takes in a line: 1700000000.123456 [0 127.0.0.1:54321] "lpush" "k" "v". Commands
// within scripts have "lua" for an address: their script was shown.
func (m *monitor) tell(line string) {
	_, rest, ok := strings.Cut(line, " [")
	where, command, found := strings.Cut(rest, "] ")
	_, addr, has := strings.Cut(where, " ")
	if !ok || !found || !has || addr == "lua" {
		return
	}
	words := quoted(command, 5)
	if len(words) == 0 {
		return
	}
	name := strings.ToLower(words[0])
	if name == "ping" && len(words) > 1 && m.mark != "" && words[1] == m.mark {
		m.marked <- m.heard
		m.mark, m.heard = "", map[string]*heard{}
		return
	}
	if (name == "client" || name == "config" || name == "acl") && len(words) > 1 {
		name += "|" + strings.ToLower(words[1])
	}
	h := m.heard[addr]
	if h == nil {
		if len(m.heard) >= maxHeard {
			addr = ""
		}
		if h = m.heard[addr]; h == nil {
			h = &heard{commands: map[string]int64{}, first: time.Now()}
			m.heard[addr] = h
		}
	}
	h.commands[name]++
	switch {
	case name == "client|setname" && len(words) > 2:
		h.name = words[2]
	case name == "client|setinfo" && len(words) > 3:
		h.library = strings.TrimSpace(h.library + " " + words[3])
	case name == "hello":
		for i, w := range words[:len(words)-1] {
			if strings.EqualFold(w, "SETNAME") {
				h.name = words[i+1]
			}
		}
	}
	if !introduces(name) || h.last == "" {
		h.last = name
	}
}

// quoted gives the first words of a command as MONITOR shows it. One that is cut off is
// not given.
func quoted(text string, most int) []string {
	var words []string
	for len(words) < most {
		text = strings.TrimLeft(text, " ")
		prefix, err := strconv.QuotedPrefix(text)
		if err != nil {
			return words
		}
		word, err := strconv.Unquote(prefix)
		if err != nil {
			return words
		}
		words, text = append(words, word), text[len(prefix):]
	}
	return words
}

func (m *monitor) failed() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.err
}

func (m *monitor) close() {
	_ = m.conn.Close()
	<-m.ended
}
