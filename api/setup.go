package api

import (
	"context"
	"net/http"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/workflows"
)

func setupOperations() []Operation {
	const path = ofMigration + "/setup"
	return []Operation{{
		ID: "getSetup", Route: "GET " + path, Access: AccessSession,
		Summary:     "What the servers and services of the configuration said last",
		Description: "It asks nothing. Of secrets it says whether they are set.",
		Answer:      Setup{},
	}, {
		ID: "testSetup", Route: "POST " + path, Access: AccessEngineer,
		Summary: "Ask the servers and services of the configuration, which changes nothing",
		Body:    SetupRequest{}, BodyOptional: true, Status: http.StatusAccepted,
		Result: "The test has begun: test is there until it is over. 409 while another one is " +
			"under way.",
		Answer: Setup{},
	}, {
		ID: "testAddress", Route: "POST " + path + "/address", Access: AccessEngineer,
		Summary: "Ask a Redis that is not configured",
		Description: "It says whether the server reaches it, over TLS or not, what it is, and " +
			"which rights its user would lack as the source. The address is not stored.",
		Body: AddressRequest{}, Answer: AddressTest{},
	}}
}

// Setup is what the configuration names: see workflows.Setup.
type Setup = workflows.Setup

// AddressTest is what a Redis said that is not configured: see workflows.AddressTest.
type AddressTest = workflows.AddressTest

// SetupFinding is one answer: see workflows.SetupFinding.
type SetupFinding = workflows.SetupFinding

// SetupFails is the state of what does not work.
const SetupFails = workflows.SetupFails

// SetupRequest says what is to be tested.
type SetupRequest struct {
	// Part is the id of one part; without it, every part is tested.
	Part string `json:"part,omitempty"`
}

// AddressRequest is an address that is to be tested.
type AddressRequest struct {
	// Address is a URL with redis:// or rediss://, or the name of a variable of the server's
	// environment that holds one.
	Address string `json:"address"`
}

// Setup gives what the parts of the configuration said last.
func (c *Client) Setup(ctx context.Context, mid string) (Setup, error) {
	var out Setup
	err := c.get(ctx, at(mid, "setup"), &out)
	return out, err
}

// TestSetup begins a test of one part, or without an id of all; Conflict: one is under way.
func (c *Client) TestSetup(ctx context.Context, mid, part string) (Setup, error) {
	var out Setup
	err := c.call(ctx, http.MethodPost, at(mid, "setup"), SetupRequest{part}, &out)
	return out, err
}

// TestAddress asks a Redis that is not configured.
func (c *Client) TestAddress(
	ctx context.Context, mid string, address migration.Secret,
) (AddressTest, error) {
	var out AddressTest
	err := c.call(ctx, http.MethodPost, at(mid, "setup", "address"),
		AddressRequest{address.Reveal()}, &out)
	return out, err
}
