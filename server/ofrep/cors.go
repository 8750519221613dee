package ofrep

import (
	"slices"

	"github.com/gofiber/fiber/v2"
)

// What scripts of other sites may send to the flags and read of the answer. Cookies are never
// among it: such a page brings a key.
const (
	corsMethods = "POST, GET"
	corsRequest = "Authorization, Content-Type, If-None-Match, X-API-Key, X-Worker-Service, " +
		"X-Worker-Instance, X-Worker-Version"
	corsAnswer = "ETag, Retry-After"
	corsMaxAge = "600" // seconds that a browser may remember the rules
)

// FromAllowedSite reports whether a page of a configured origin makes this request.
func (s *Server) FromAllowedSite(c *fiber.Ctx) bool {
	if len(s.origins) == 0 || !Is(c) {
		return false
	}
	return slices.Contains(s.origins, c.Get(fiber.HeaderOrigin))
}

// cors lets the pages of the configured origins read an answer about flags, errors included.
func (s *Server) cors(c *fiber.Ctx) {
	if len(s.origins) == 0 {
		return
	}
	c.Set(fiber.HeaderVary, fiber.HeaderOrigin)
	if s.FromAllowedSite(c) {
		c.Set(fiber.HeaderAccessControlAllowOrigin, c.Get(fiber.HeaderOrigin))
		c.Set(fiber.HeaderAccessControlExposeHeaders, corsAnswer)
	}
}

// preflight answers a browser that asks before it sends, and reports whether that is what this
// request was. It needs no key: browsers send none with it.
func (s *Server) preflight(c *fiber.Ctx) bool {
	if c.Method() != fiber.MethodOptions ||
		c.Get(fiber.HeaderAccessControlRequestMethod) == "" || !s.FromAllowedSite(c) {
		return false
	}
	c.Set(fiber.HeaderAccessControlAllowMethods, corsMethods)
	c.Set(fiber.HeaderAccessControlAllowHeaders, corsRequest)
	c.Set(fiber.HeaderAccessControlMaxAge, corsMaxAge)
	c.Status(fiber.StatusNoContent)
	return true
}
