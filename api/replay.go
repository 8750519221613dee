package api

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/switchyard-dev/switchyard/workflows"
)

// replayBytes is how much of an export goes into one request, of which a server takes 1 MiB.
const replayBytes = 900_000

// ReplayRequests splits the events of an export into requests that a server takes, in order.
func ReplayRequests(provider string, look bool, events []json.RawMessage) []Replay {
	var out []Replay
	for _, part := range split(events, workflows.ReplayMost, replayBytes) {
		out = append(out, Replay{Provider: provider, Look: look, Events: part})
	}
	return out
}

// split makes lists of at most so many events and so many bytes; an event that is larger by
// itself makes a list of its own.
func split(events []json.RawMessage, most, size int) [][]json.RawMessage {
	var out [][]json.RawMessage
	bytes := 0
	for _, e := range events {
		if n := len(out); n == 0 || len(out[n-1]) == most || bytes+len(e)+1 > size {
			out, bytes = append(out, nil), 0
		}
		out[len(out)-1] = append(out[len(out)-1], e)
		bytes += len(e) + 1 // and its comma
	}
	return out
}

// ReplayAll sends requests one after the other and adds up their results. It stops after one
// that left events behind, since the queue is down then: untried is how many events came after.
func (c *Client) ReplayAll(
	ctx context.Context, mid string, requests []Replay,
) (sum ReplayResult, untried int, err error) {
	for i, r := range requests {
		out, err := c.ReplayLost(ctx, mid, r)
		if err != nil {
			return sum, 0, fmt.Errorf("request %d of %d: %w", i+1, len(requests), err)
		}
		sum.Missing += out.Missing
		sum.Known += out.Known
		sum.Enqueued += out.Enqueued
		sum.Left += out.Left
		sum.Events = append(sum.Events, out.Events...)
		sum.Refused = append(sum.Refused, out.Refused...)
		if out.Left > 0 && !r.Look {
			for _, rest := range requests[i+1:] {
				untried += len(rest.Events)
			}
			break
		}
	}
	return sum, untried, nil
}
