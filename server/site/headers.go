package site

import (
	"crypto/rand"
	"encoding/hex"
	"strings"

	"github.com/gofiber/fiber/v2"
)

const (
	// ContentPolicy allows nothing inline and nothing from elsewhere.
	ContentPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; " +
		"img-src 'self' data:; font-src 'self'; connect-src 'self'; form-action 'self'; " +
		"base-uri 'none'; frame-ancestors 'none'"
	// StrictTransport keeps browsers on HTTPS.
	StrictTransport = "max-age=31536000; includeSubDomains"

	requestIDKey = "request-id"
)

// Protect sets the headers that every answer carries, also those given before a route was found.
func (s *Site) Protect(c *fiber.Ctx) {
	c.Set(fiber.HeaderContentSecurityPolicy, ContentPolicy)
	c.Set(fiber.HeaderXContentTypeOptions, "nosniff")
	c.Set(fiber.HeaderReferrerPolicy, "same-origin")
	c.Set(fiber.HeaderCacheControl, "no-store")
	c.Set("Cross-Origin-Opener-Policy", "same-origin")
	if s.SecureCookies {
		c.Set(fiber.HeaderStrictTransportSecurity, StrictTransport)
	}
}

// RequestID gives the request's id, by which its answer and the log belong together. The first to
// ask makes it.
func RequestID(c *fiber.Ctx) string {
	id, ok := c.Locals(requestIDKey).(string)
	if !ok {
		var b [8]byte
		_, _ = rand.Read(b[:]) // never fails, by its documentation
		id = hex.EncodeToString(b[:])
		c.Locals(requestIDKey, id)
		c.Set("X-Request-Id", id)
	}
	return id
}

// isAPI reports whether a program asks, which gets problem+json instead of a page.
func isAPI(c *fiber.Ctx) bool { return strings.HasPrefix(c.Path(), "/api/") }

// isFragment reports whether the page's script asks, for its main part only.
func isFragment(c *fiber.Ctx) bool { return c.Get("HX-Request") == "true" }
