package ofrep

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/gofiber/fiber/v2/utils"

	"github.com/switchyard-dev/switchyard/flags"
	"github.com/switchyard-dev/switchyard/fleet"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/server/site"
)

const (
	readerKey = "reader"
	// sessionTimeout bounds the look-up of a session: workers with keys never wait for it.
	sessionTimeout = 2 * time.Second
	// maxNameLen bounds each name that a worker gives itself, in bytes.
	maxNameLen = 200
)

// Names of headers in the form in which they are stored.
var (
	headerService  = []byte("X-Worker-Service")
	headerInstance = []byte("X-Worker-Instance")
	headerVersion  = []byte("X-Worker-Version")
)

// AdmitKey lets in who holds a key.
func (s *Server) AdmitKey(c *fiber.Ctx) error {
	token := site.Bearer(c)
	if len(token) == 0 {
		return migration.Errorf(migration.Unauthenticated, "send the worker token or another "+
			"key as Authorization: Bearer or as X-API-Key")
	}
	r, err := s.readers.Flags.Authenticate(token)
	if err != nil {
		return err
	}
	c.Locals(readerKey, r)
	return nil
}

// AdmitReader finds whose flags are asked for: those of the key, or for a signed-in person
// those that route the orders.
func (s *Server) AdmitReader(c *fiber.Ctx) error {
	token := site.Bearer(c)
	var keyErr error
	if len(token) > 0 {
		var r *flags.Reader
		if r, keyErr = s.readers.Flags.Authenticate(token); keyErr == nil {
			c.Locals(readerKey, r)
			return s.allow(r)
		}
	}
	nobody := func() error {
		return cmp.Or(keyErr, migration.Errorf(migration.Unauthenticated,
			"send a key as Authorization: Bearer or as X-API-Key"))
	}
	if !s.site.Controlled() {
		return nobody()
	}
	ctx, cancel := context.WithTimeout(c.UserContext(), sessionTimeout)
	defer cancel()
	c.SetUserContext(ctx)
	id, err := s.site.Identify(c)
	switch {
	case err != nil && migration.KindOf(err) == migration.Unauthenticated:
		return nobody()
	case err != nil:
		return s.noAnswer(c, err)
	case id.Forged(c):
		return migration.Errorf(migration.Forbidden,
			"the request is not from this session's own page")
	}
	all, err := s.site.Control.Migrations(ctx)
	if err != nil || len(all) == 0 {
		return s.noAnswer(c, err)
	}
	c.Locals(readerKey, &flags.Reader{Key: flags.Key{Set: all[0].ID}})
	return nil
}

// noAnswer is for a token that is nobody's key while it cannot be found out whether it is a
// session's: never 401 because of our database.
func (s *Server) noAnswer(c *fiber.Ctx, err error) error {
	s.site.Log.Warn("a session could not be looked up", "path", c.Path(), "err", err)
	return migration.Errorf(migration.Unavailable, "this is no key, and whether it is a session "+
		"cannot be found out now: the database does not answer")
}

// allow takes a request off the key's rate.
func (s *Server) allow(r *flags.Reader) error {
	after, ok := r.Allow()
	if ok {
		return nil
	}
	s.traffic.limited(r)
	return &site.TooManyError{
		After: after,
		Text: fmt.Sprintf("this key is limited to %d requests/s: try again after %d s, or "+
			"raise its rate limit", r.RatePerSecond, after),
	}
}

// readerOf gives the reader that was let in; nil when nobody was.
func readerOf(c *fiber.Ctx) *flags.Reader {
	r, _ := c.Locals(readerKey).(*flags.Reader)
	return r
}

// whoAsks is the reader as it names itself, for the fleet.
func whoAsks(c *fiber.Ctx, r *flags.Reader) fleet.Who {
	return fleet.Who{
		Service: name(c, headerService), Instance: name(c, headerInstance),
		Version: name(c, headerVersion), Key: r.Name, KeyID: r.ID, Address: c.IP(),
		Set: r.Set,
	}
}

// name reads a name that a worker gives itself, valid until the request has been answered: at
// most maxNameLen bytes of printable ASCII, else it counts as absent.
func name(c *fiber.Ctx, header []byte) string {
	v := c.Request().Header.PeekCanonical(header)
	if len(v) > maxNameLen {
		return ""
	}
	for i := range len(v) {
		if v[i] < ' ' || v[i] > '~' {
			return ""
		}
	}
	return utils.UnsafeString(v)
}
