package site

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/server/live"
)

const (
	// maxAge is how long a render is given to readers when nothing is told of. Pages also show
	// what nobody tells of, such as how long something has lasted.
	maxAge = time.Second
	// maxHeld renders are kept at the same time; those over maxAge are of no use and go first.
	maxHeld = 128
)

// fragments has the main parts of pages rendered once for all who look at them.
//
// A fragment that is given to somebody holds every change that they have been told of: it was
// begun after each of its topics was told last, else it is rendered anew. A change that comes
// later is told within half a second, and whoever hears of it asks again. What changes without
// being told may be maxAge old, and as long as the render took. Errors, notices, answers to forms
// and whole pages are not kept: who acts sees what became of it.
type fragments struct {
	live *live.Hub

	rendered, shared atomic.Int64

	mu      sync.Mutex
	held    map[string]*flight
	flights map[string]*flight
}

// flight is one render, and who waits for it.
type flight struct {
	moment uint64 // of the hub, when it began
	began  time.Time
	done   chan struct{}
	result
}

type result struct {
	doc    *document // nil without an error: each reader gets an answer of their own
	topics []string
	err    error
}

func newFragments(hub *live.Hub) *fragments {
	return &fragments{live: hub, held: map[string]*flight{}, flights: map[string]*flight{}}
}

// get gives the fragment with this key: one that is held, one that is being rendered, or what
// render makes.
func (f *fragments) get(key string, render func() result) result {
	asked := f.live.Moment()
	for range 3 { // the second wait is for a render that began after this one asked
		f.mu.Lock()
		if have := f.held[key]; have != nil && time.Since(have.began) < maxAge &&
			f.live.Fresh(have.topics, have.moment) {
			f.mu.Unlock()
			f.shared.Add(1)
			return have.result
		}
		under := f.flights[key]
		if under == nil {
			own := &flight{began: time.Now(), done: make(chan struct{})}
			own.moment = f.live.Moment()
			f.flights[key] = own
			f.mu.Unlock()
			f.fly(key, own, render)
			return own.result
		}
		f.mu.Unlock()
		<-under.done
		if under.moment >= asked ||
			under.doc != nil && f.live.Fresh(under.topics, under.moment) {
			f.shared.Add(1)
			return under.result
		}
	}
	return result{}
}

// fly renders; also when that panics, nobody waits for ever.
func (f *fragments) fly(key string, own *flight, render func() result) {
	defer func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.flights, key)
		if own.doc != nil {
			f.hold(key, own)
		}
		close(own.done)
	}()
	f.rendered.Add(1)
	own.result = render()
}

// hold keeps a render. The caller holds the lock.
func (f *fragments) hold(key string, own *flight) {
	if len(f.held) >= maxHeld {
		for k, have := range f.held {
			if time.Since(have.began) >= maxAge {
				delete(f.held, k)
			}
		}
	}
	if len(f.held) >= maxHeld {
		clear(f.held)
	}
	f.held[key] = own
}

// Fragments gives how many fragments were rendered, and how many readers were given one that was
// rendered for somebody else.
func (s *Site) Fragments() (rendered, shared int64) {
	return s.fragments.rendered.Load(), s.fragments.shared.Load()
}

const sharingKey = "sharing"

// Share has a page's main part rendered once for all accounts of a role, or all sessions of an
// account. While it is rendered, the handler sees nobody's session, and by role nobody's name. So
// nothing of whoever came first can be in what the others get.
func (s *Site) Share(by Sharing, handle fiber.Handler) fiber.Handler {
	return func(c *fiber.Ctx) error {
		if c.Method() != fiber.MethodGet || !isFragment(c) || len(c.Body()) > 0 {
			return handle(c)
		}
		who := IdentityOf(c)
		as := migration.Actor{Role: who.Role}
		if by == ByAccount {
			as.Name = who.Name
		}
		// Only what is in the key may decide what is in the page.
		key := strings.Join([]string{
			string(as.Role), as.Name, c.BaseURL(), c.OriginalURL(), s.preferences(c),
		}, "\n")
		got := s.fragments.get(key, func() result {
			r := &result{}
			c.Locals(whoKey, Identity{Actor: as})
			c.Locals(sharingKey, r)
			defer func() {
				c.Locals(whoKey, who)
				c.Locals(sharingKey, nil)
			}()
			r.err = handle(c)
			return *r
		})
		if got.err != nil {
			return got.err
		}
		if got.doc == nil {
			return handle(c)
		}
		c.Set(FragmentHeader, fragmentMain)
		return got.doc.send(c)
	}
}

// share keeps a page that is being rendered for everybody, and reports whether there is nothing
// left to do. A notice and a refusal are for one person.
func share(c *fiber.Ctx, p Place, d *document) bool {
	r, _ := c.Locals(sharingKey).(*result)
	if r == nil {
		return false
	}
	if p.Notice == nil && c.Response().StatusCode() == fiber.StatusOK && d.tag != "" {
		r.doc, r.topics = d, append(slices.Clone(p.Topics), live.Headline)
	}
	return true
}
