// Package silence finds out whether anything answers at addresses where nothing should any
// more. A connection that is not taken is no proof by itself: the reason can be on this
// side. So an address counts as silent when it refuses, or when it does not answer while
// something that must answer does; everything else is an error, and nothing is known.
package silence

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
)

// Answer is what a look at one address found.
type Answer string

// Answers.
const (
	// Accepted: something takes connections there.
	Accepted Answer = "accepted"
	// Refused: nothing listens at the port, but something answers for the address: the
	// machine, one that has its address now, or a firewall.
	Refused Answer = "refused"
	// Unanswered: nothing answers at all, and this side's network works.
	Unanswered Answer = "unanswered"
)

// dialTimeout is how long an address may take to answer. A machine that is off lets it
// pass.
const dialTimeout = 2 * time.Second

// Seen is what looks at addresses found, over a while.
type Seen struct {
	Looks      int
	Over       time.Duration
	Refused    int
	Unanswered int
	Accepted   string // the first address that took a connection; empty: none did
}

// String says it for people.
func (s Seen) String() string {
	if s.Accepted != "" {
		return s.Accepted + " takes connections"
	}
	text := fmt.Sprintf("no connection was taken in %d attempts", s.Refused+s.Unanswered)
	if s.Looks > 1 {
		text += " over " + migration.Words(s.Over)
	}
	return fmt.Sprintf("%s (%d refused, %d unanswered)", text, s.Refused, s.Unanswered)
}

// Prober looks at addresses. It is safe for concurrent use.
type Prober struct {
	// Dial opens connections. Nil: over the network of this machine.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Alive gives an error unless this side's network works now, by asking something that
	// must answer. It is asked whenever an address does not answer. Nil: nothing can be
	// asked, and then an address that does not answer is not known to be silent.
	Alive func(ctx context.Context) error
}

// Watch looks at the addresses again and again for a while; with none, once. It ends at
// the first connection that is taken. Unavailable: it cannot be told whether anything
// answers, for a reason on this side, such as a network that is down.
func (p Prober) Watch(
	ctx context.Context, addrs []string, over, every time.Duration,
) (Seen, error) {
	start := time.Now()
	var s Seen
	for {
		answers, err := p.Look(ctx, addrs)
		if err != nil {
			return s, err
		}
		s.Looks++
		for i, a := range answers {
			switch a {
			case Accepted:
				s.Accepted = addrs[i]
			case Refused:
				s.Refused++
			case Unanswered:
				s.Unanswered++
			}
		}
		if s.Over = time.Since(start); s.Accepted != "" || s.Over >= over {
			return s, nil
		}
		select {
		case <-ctx.Done():
			return s, context.Cause(ctx)
		case <-time.After(every):
		}
	}
}

// Look dials every address once, at the same time, and gives the answer of each. Errors as
// Watch.
func (p Prober) Look(ctx context.Context, addrs []string) ([]Answer, error) {
	answers, errs := make([]Answer, len(addrs)), make([]error, len(addrs))
	var all sync.WaitGroup
	for i, a := range addrs {
		all.Go(func() { answers[i], errs[i] = p.ask(ctx, a) })
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	for i, a := range answers {
		if a != Unanswered {
			continue
		}
		if err := p.alive(ctx); err != nil {
			return nil, migration.Errorf(migration.Unavailable, "%s does not answer, and "+
				"whether the reason is there or on this side cannot be told: %w", addrs[i], err)
		}
		break // once is enough for all
	}
	return answers, nil
}

func (p Prober) alive(ctx context.Context) error {
	if p.Alive == nil {
		return errors.New("nothing else can be asked whether this side's network works")
	}
	return p.Alive(ctx)
}

func (p Prober) ask(ctx context.Context, address string) (Answer, error) {
	dial := p.Dial
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	bounded, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	conn, err := dial(bounded, "tcp", address)
	if err == nil {
		return Accepted, conn.Close()
	}
	timeout, isNet := errors.AsType[net.Error](err)
	switch {
	case ctx.Err() != nil:
		return "", context.Cause(ctx)
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ECONNRESET):
		return Refused, nil
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.EHOSTDOWN),
		errors.Is(err, context.DeadlineExceeded), isNet && timeout.Timeout() && !isName(err):
		return Unanswered, nil
	}
	// A network that is down here, or a name that is not known, says nothing of the
	// machine.
	return "", migration.Errorf(migration.Unavailable,
		"whether anything answers at %s cannot be told: %w", address, err)
}

// isName reports whether the address was not even found.
func isName(err error) bool {
	_, yes := errors.AsType[*net.DNSError](err)
	return yes
}
