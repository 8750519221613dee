package redisconn

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// maxHeard bounds how many connections are distinguished between two looks; any
	// more count as one, without an address.
	maxHeard = 1000
	// maxLine is how much of a command the reader of MONITOR keeps: the name and
	// the sender come first.
	maxLine = 512
)

// monitor is a connection on which the server reports every command.
type monitor struct {
	conn  net.Conn
	in    *bufio.Reader
	ended chan struct{}

	mu     sync.Mutex
	heard  map[string]*heard
	err    error
	mark   string // being waited for
	marked chan map[string]*heard
}

// take returns what was reported since the last call and before this one. It waits
// for that, but only briefly: the connection may be slow or gone.
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

// tell records a line: 1700000000.123456 [0 127.0.0.1:54321] "lpush" "k" "v".
// Commands inside scripts have the address "lua"; their script was reported
// already.
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

func (m *monitor) failed() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.err
}

func (m *monitor) close() {
	_ = m.conn.Close()
	<-m.ended
}

// marks makes every mark unique.
var marks atomic.Int64

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
	requests := [][]string{{"CLIENT", "SETNAME", self + "-watch"}, {"MONITOR"}}
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

// quoted returns the first words of a command as MONITOR reports it, leaving out a
// truncated one.
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

// heard is what MONITOR reported about one connection.
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

// settleTime is how long a connection may take to identify itself: ours do so right
// after authenticating.
const settleTime = time.Second

// settling reports whether a new connection has only authenticated so far.
func settling(cl Client) bool {
	return cl.Name == "" && cl.AgeSec < int64(settleTime/time.Second) && introduces(cl.Cmd)
}

// introduces reports whether a command only identifies its sender.
func introduces(command string) bool {
	switch command {
	case "auth", "hello", "select", "client|setname", "client|setinfo", "client|id":
		return true
	}
	return false
}
