package server

import (
	"net/http"
	"strconv"

	"github.com/gofiber/fiber/v2"

	"github.com/switchyard-dev/switchyard/flags"
)

// The flags for workers, over OFREP. They are answered from memory: a worker must not lose its flags because our database is down.

func (s *Server) ofrepAll(c *fiber.Ctx) error {
	return sendFlags(c, s.readers.Flags.EvaluateAll(s.readers.Flags.IDs()[0], flags.Request{IfNoneMatch: c.Get(fiber.HeaderIfNoneMatch), Body: c.Body()}))
}

func (s *Server) ofrepOne(c *fiber.Ctx) error {
	return sendFlags(c, s.readers.Flags.EvaluateOne(s.readers.Flags.IDs()[0], c.Params("key"), c.Body()))
}

func sendFlags(c *fiber.Ctx, r flags.Response) error {
	if r.ETag != "" {
		c.Set(fiber.HeaderETag, r.ETag)
	}
	if r.ContentType != "" {
		c.Set(fiber.HeaderContentType, r.ContentType)
	}
	if r.RetryAfter > 0 {
		c.Set(fiber.HeaderRetryAfter, strconv.Itoa(r.RetryAfter))
	}
	c.Status(r.Status)
	c.Response().SetBodyRaw(r.Body) // shared between answers, and only read
	return nil
}

// ofrepError answers in OFREP's own form; official clients do not understand an error without errorCode.
func ofrepError(c *fiber.Ctx, f failure) error {
	c.Status(f.status)
	if f.status == http.StatusUnauthorized {
		c.Set(fiber.HeaderWWWAuthenticate, `Bearer realm="switchyard"`)
	}
	return c.JSON(struct {
		Key     string `json:"key,omitempty"`
		Code    string `json:"errorCode"`
		Details string `json:"errorDetails"`
	}{c.Params("key"), "GENERAL", f.text})
}
