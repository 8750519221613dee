package server

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"runtime/debug"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/switchyard-dev/switchyard/migration"
)

const (
	// contentPolicy allows nothing inline and nothing from elsewhere.
	contentPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; " +
		"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
	strictTransport = "max-age=31536000; includeSubDomains"
	requestIDKey    = "request-id"
)

// around wraps every request: headers that protect, an id for the logs, a deadline, and no panic that kills the process.
func (s *Server) around(c *fiber.Ctx) (err error) {
	if isFlags(c) {
		return s.aroundFlags(c)
	}
	began := time.Now()
	id := requestID(c)
	s.protect(c)
	span := s.startSpan(c)
	ctx, cancel := context.WithTimeout(c.UserContext(), answerTimeout)
	defer cancel()
	c.SetUserContext(ctx)
	defer func() {
		if p := recover(); p != nil {
			s.log.Error("panic", "request", id, "path", c.Path(), "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			err = migration.Errorf(migration.Internal, "panic")
		}
		if err != nil {
			err = s.fail(c, err)
		}
		s.traffic.count(c.Response().StatusCode(), time.Since(began))
		endSpan(c, span)
	}()
	return c.Next()
}

// protect sets the headers that every answer carries, also those given before a route was found.
func (s *Server) protect(c *fiber.Ctx) {
	c.Set(fiber.HeaderContentSecurityPolicy, contentPolicy)
	c.Set(fiber.HeaderXContentTypeOptions, "nosniff")
	c.Set(fiber.HeaderReferrerPolicy, "same-origin")
	c.Set(fiber.HeaderCacheControl, "no-store")
	c.Set("Cross-Origin-Opener-Policy", "same-origin")
	if s.opt.SecureCookies {
		c.Set(fiber.HeaderStrictTransportSecurity, strictTransport)
	}
}

func newID() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails, by its documentation
	return hex.EncodeToString(b[:])
}

// requestID gives the request's id, by which its answer and the log belong together. The first to ask makes it.
func requestID(c *fiber.Ctx) string {
	id, ok := c.Locals(requestIDKey).(string)
	if !ok {
		id = newID()
		c.Locals(requestIDKey, id)
		c.Set("X-Request-Id", id)
	}
	return id
}

// isAPI reports whether a program asks, which gets problem+json instead of a page.
func isAPI(c *fiber.Ctx) bool { return strings.HasPrefix(c.Path(), "/api/") }

// isFragment reports whether the page's script asks, for its main part only.
func isFragment(c *fiber.Ctx) bool { return c.Get("HX-Request") == "true" }
