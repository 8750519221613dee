package byhand

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

// What a look at one address found.
type answer int

const (
	// accepted: something takes connections there.
	accepted answer = iota
	// refused: nothing listens at the port, but something answers for the address: the
	// machine, one that has its address now, or a firewall.
	refused
	// unanswered: nothing answers at all.
	unanswered
)

// dialTimeout is how long an address may take to answer. A machine that is off lets it
// pass.
const dialTimeout = 2 * time.Second

// silence is what looks at the addresses of one machine found, over a while.
type silence struct {
	looks    int
	over     time.Duration
	refused  int
	silent   int
	accepted string // the first address that took a connection; empty: none did
}

// String says it for people.
func (s silence) String() string {
	if s.accepted != "" {
		return s.accepted + " takes connections"
	}
	text := fmt.Sprintf("no connection was taken in %d attempts", s.refused+s.silent)
	if s.looks > 1 {
		text += " over " + migration.Words(s.over)
	}
	return fmt.Sprintf("%s (%d refused, %d unanswered)", text, s.refused, s.silent)
}

// prober looks at addresses.
type prober struct {
	dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// watch looks at the addresses again and again for a while; with none, once. It ends at
// the first connection that is taken. Unavailable: it cannot be told whether anything
// answers, for a reason on this side, such as a network that is down.
func (p prober) watch(
	ctx context.Context,
	addrs []string,
	over, every time.Duration,
) (silence, error) {
	start := time.Now()
	var s silence
	for {
		if err := p.look(ctx, addrs, &s); err != nil || s.accepted != "" {
			return s, err
		}
		if s.over = time.Since(start); s.over >= over {
			return s, nil
		}
		select {
		case <-ctx.Done():
			return s, context.Cause(ctx)
		case <-time.After(every):
		}
	}
}

// look dials every address once, at the same time.
func (p prober) look(ctx context.Context, addrs []string, s *silence) error {
	answers, errs := make([]answer, len(addrs)), make([]error, len(addrs))
	var all sync.WaitGroup
	for i, a := range addrs {
		all.Go(func() { answers[i], errs[i] = p.ask(ctx, a) })
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	s.looks++
	for i, a := range answers {
		switch a {
		case accepted:
			s.accepted = addrs[i]
		case refused:
			s.refused++
		case unanswered:
			s.silent++
		}
	}
	return nil
}

func (p prober) ask(ctx context.Context, address string) (answer, error) {
	bounded, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	conn, err := p.dial(bounded, "tcp", address)
	if err == nil {
		return accepted, conn.Close()
	}
	timeout, isNet := errors.AsType[net.Error](err)
	switch {
	case ctx.Err() != nil:
		return 0, context.Cause(ctx)
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ECONNRESET):
		return refused, nil
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.EHOSTDOWN),
		errors.Is(err, context.DeadlineExceeded), isNet && timeout.Timeout() && !isName(err):
		return unanswered, nil
	}
	// A network that is down here, or a name that is not known, says nothing of the
	// machine.
	return 0, migration.Errorf(migration.Unavailable,
		"whether anything answers at %s cannot be told: %w", address, err)
}

// isName reports whether the address was not even found.
func isName(err error) bool {
	_, yes := errors.AsType[*net.DNSError](err)
	return yes
}
