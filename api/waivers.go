package api

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
)

func waiverOperations() []Operation {
	const path = ofMigration + "/waivers"
	return []Operation{{
		ID: "getWaivers", Route: "GET " + path, Access: AccessSession,
		Summary: "Decisions to go on although somebody or something is unknown",
		Result:  "All of them, the newest first, also those that count no more.",
		Answer:  WaiverList{},
	}, {
		ID: "addWaiver", Route: "POST " + path, Access: AccessEngineer,
		Summary: "Decide to go on although a member of a gate or criterion is unknown",
		Description: "It is signed by the account that is signed in, counts until the given time " +
			"(30 days at most), and speaks against nothing that is known.",
		Body: WaiverRequest{}, Status: http.StatusCreated, Answer: migration.Waiver{},
	}, {
		ID: "revokeWaiver", Route: "DELETE " + path + "/{waiver}", Access: AccessEngineer,
		Summary: "Take a waiver back",
	}}
}

// WaiverList is every waiver of a migration.
type WaiverList struct {
	Waivers []migration.Waiver `json:"waivers"`
}

// WaiverRequest is a waiver to be signed.
type WaiverRequest struct {
	// Member is the key of who or what is unknown, as gates and criteria name it.
	Member string `json:"member"`
	// Why is the reason, in at least 10 characters.
	Why string `json:"why"`
	// Until is when it counts no more; a day from now unless given.
	Until time.Time `json:"until,omitzero" required:"false"`
}

// Waivers lists the waivers, the newest first.
func (c *Client) Waivers(ctx context.Context, mid string) ([]migration.Waiver, error) {
	var l WaiverList
	err := c.get(ctx, at(mid, "waivers"), &l)
	return l.Waivers, err
}

// Waive signs a waiver in the name of who is signed in.
func (c *Client) Waive(ctx context.Context, mid string, w WaiverRequest) (migration.Waiver, error) {
	var out migration.Waiver
	err := c.call(ctx, http.MethodPost, at(mid, "waivers"), w, &out)
	return out, err
}

// Revoke takes a waiver back.
func (c *Client) Revoke(ctx context.Context, mid string, id int64) error {
	return c.call(ctx, http.MethodDelete, at(mid, "waivers", strconv.FormatInt(id, 10)), nil, nil)
}
