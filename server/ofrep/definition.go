package ofrep

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/gofiber/fiber/v2"

	"github.com/switchyard-dev/switchyard/flags"
	"github.com/switchyard-dev/switchyard/fleet"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/server/site"
)

// definition gives a key's whole set in flagd's format, for workers that evaluate by themselves
// from a file.
func (s *Server) definition(c *fiber.Ctx) error {
	r := readerOf(c)
	if err := s.allow(r); err != nil {
		return err
	}
	set, ok := s.readers.Flags.Held(r.Set)
	if !ok {
		return migration.Errorf(migration.Unavailable, "the flag set %s is not known yet: the "+
			"database has not answered since the start and there is no last known good set", r.Set)
	}
	sum := sha256.Sum256(set.Definition)
	tag := fmt.Sprintf(`"%d-%s"`, set.Revision, hex.EncodeToString(sum[:8]))
	given := c.Get(fiber.HeaderIfNoneMatch)
	held := flags.HeldRevision(given)
	s.readers.Fleet.Poll(whoAsks(c, r), held, held > 0)
	c.Set(fiber.HeaderETag, tag)
	// Nothing older may replace what a worker holds.
	if held > set.Revision || strings.Contains(given, tag) || strings.TrimSpace(given) == "*" {
		c.Status(http.StatusNotModified)
		return nil
	}
	c.Set(fiber.HeaderContentType, fiber.MIMEApplicationJSON)
	return c.Send(set.Definition)
}

// attest takes in what a worker says of itself. Fields that this version does not know are
// ignored: workers may be newer.
func (s *Server) attest(c *fiber.Ctx) error {
	if n := len(c.Body()); n > fleet.MaxAttestation {
		return migration.Errorf(migration.Invalid, "the attestation has %d bytes; %d is the limit",
			n, fleet.MaxAttestation)
	}
	var in fleet.Attestation
	if err := json.Unmarshal(c.Body(), &in); err != nil {
		return migration.Errorf(migration.Invalid, "the attestation is not readable: %w", err)
	}
	c.Set(contractHeader, fmt.Sprintf("%d-%d", migration.OldestContract, migration.Contract))
	return site.Done(c, s.readers.Fleet.Attest(in, whoAsks(c, readerOf(c))))
}

// contractHeader tells a worker which versions of the contract it may keep.
const contractHeader = "Switchyard-Contract"
