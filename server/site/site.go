// Package site is what all handlers share: the row of the route table with its access level, who
// asks, how a page or JSON is sent, and what the outside may see of an error.
package site

import (
	"log/slog"
	"sync/atomic"

	"github.com/gofiber/fiber/v2"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/server/live"
	"github.com/switchyard-dev/switchyard/workflows"
)

// Access says who may call a route.
type Access string

const (
	// Open is for everybody.
	Open Access = "open"
	// Worker is for who holds a key of a flag set, as the worker token is one.
	Worker Access = "worker"
	// Reader is for flags: a key or any session.
	Reader Access = "reader"
	// Ticket is for streams, which browsers cannot send headers with: the address itself holds
	// what lets in.
	Ticket Access = "ticket"
	// Session is for every signed-in account.
	Session Access = "session"
	// Engineer is for accounts that may act. Control refuses everybody else, and writes the
	// refusal to the audit log.
	Engineer Access = "engineer"
)

// Route is a row of the route table.
type Route struct {
	Method string
	Path   string
	Who    Access
	Handle fiber.Handler
	// Shared says whom the main part of a live page is rendered once for.
	Shared Sharing
}

// Get is a row for what changes nothing.
func Get(path string, who Access, handle fiber.Handler) Route {
	return Route{Method: fiber.MethodGet, Path: path, Who: who, Handle: handle}
}

// Sharing says who sees the same main part of a page, apart from the tokens of its forms.
type Sharing string

const (
	// ByRole is for pages that every account of a role sees alike.
	ByRole Sharing = "role"
	// ByAccount is for pages that say or offer something else depending on who reads them.
	ByAccount Sharing = "account"
)

// GetShared is a row for a live page that is rendered once for many; see Share.
func GetShared(path string, by Sharing, handle fiber.Handler) Route {
	return Route{
		Method: fiber.MethodGet, Path: path, Who: Session, Handle: handle, Shared: by,
	}
}

// Post is a row for a verb.
func Post(path string, who Access, handle fiber.Handler) Route {
	return Route{Method: fiber.MethodPost, Path: path, Who: who, Handle: handle}
}

// Delete is a row for what takes something away.
func Delete(path string, who Access, handle fiber.Handler) Route {
	return Route{Method: fiber.MethodDelete, Path: path, Who: who, Handle: handle}
}

// Site is what every handler works with.
type Site struct {
	Control *workflows.Control // only while Controlled
	Live    *live.Hub
	Log     *slog.Logger
	Version string
	// SecureCookies is for serving behind TLS.
	SecureCookies bool

	controlled atomic.Bool
	fragments  *fragments
	pages      []string // routes of pages that people look at
	memory     memory
}

// New returns a site that has no Control yet.
func New(log *slog.Logger, version string, secureCookies bool) *Site {
	hub := live.NewHub()
	return &Site{
		Live: hub, Log: log, Version: version, SecureCookies: secureCookies,
		fragments: newFragments(hub),
	}
}

// SetControl brings the Control of a site that was made without one, once. Until then only flags,
// attestations, probes and assets are answered, and everything else is 503.
func (s *Site) SetControl(c *workflows.Control) {
	s.Control = c
	c.OnChange(s.Live.Publish)
	s.controlled.Store(true)
}

// Controlled reports whether there is a Control.
func (s *Site) Controlled() bool { return s.controlled.Load() }

// Migration finds the migration that the address names.
func (s *Site) Migration(c *fiber.Ctx) (migration.Migration, error) {
	all, err := s.Control.Migrations(c.UserContext())
	if err != nil {
		return migration.Migration{}, err
	}
	for _, m := range all {
		if m.ID == c.Params("mid") {
			return m, nil
		}
	}
	return migration.Migration{}, migration.Errorf(
		migration.NotFound, "there is no migration %q", c.Params("mid"))
}

// MayAct refuses viewers before anything is computed for them, and keeps who tried; Control would
// refuse the change itself. subject names what they act on.
func (s *Site) MayAct(c *fiber.Ctx, action, subject string) error {
	return s.Control.MayAct(c.UserContext(), Actor(c), action, subject)
}
