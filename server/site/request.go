package site

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/gofiber/fiber/v2"

	"github.com/switchyard-dev/switchyard/migration"
)

// Decode reads a JSON body strictly: unknown fields are a mistake, so that a misspelt one is not
// silently ignored. An empty body leaves v.
func Decode(c *fiber.Ctx, v any) error {
	if len(bytes.TrimSpace(c.Body())) == 0 {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(c.Body()))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return migration.Errorf(migration.Invalid,
			"the body is not the JSON that is expected: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return migration.Errorf(migration.Invalid, "the body holds more than one JSON value")
	}
	return nil
}

// Whole reads a query parameter that is a whole number and not negative.
func Whole(c *fiber.Ctx, name string, missing int64) (int64, error) {
	text := c.Query(name)
	if text == "" {
		return missing, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return 0, migration.Errorf(migration.Invalid,
			"%s must be a whole number, 0 or more", name)
	}
	return n, nil
}

// MaxLimit is the most that the query parameter limit may ask for.
const MaxLimit = 1000

// Limit reads the query parameter limit.
func Limit(c *fiber.Ctx, missing int64) (int, error) {
	n, err := Whole(c, "limit", missing)
	if err == nil && (n < 1 || n > MaxLimit) {
		err = migration.Errorf(migration.Invalid, "limit must be from 1 to %d", MaxLimit)
	}
	return int(n), err
}

// Unescaped is a part of the path as it was meant: names of queues may hold colons and slashes.
func Unescaped(part string) string {
	if s, err := url.PathUnescape(part); err == nil {
		return s
	}
	return part
}

// Answer sends a value as JSON, or hands on the error.
func Answer[T any](c *fiber.Ctx, v T, err error) error {
	if err != nil {
		return err
	}
	return c.JSON(v)
}

// Made answers 201 with what a verb made.
func Made[T any](c *fiber.Ctx, v T, err error) error {
	if err != nil {
		return err
	}
	c.Status(http.StatusCreated)
	return c.JSON(v)
}

// Done answers 204, or hands on the error.
func Done(c *fiber.Ctx, err error) error {
	if err != nil {
		return err
	}
	return c.SendStatus(http.StatusNoContent)
}

// List makes an empty list [] in JSON instead of null.
func List[T any](l []T) []T {
	if l == nil {
		return []T{}
	}
	return l
}
