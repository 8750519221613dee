package evidence

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
)

// Quiet is the id of the check of a source that nobody uses.
const Quiet = "source-quiet"

var quietCheck = New(Check{
	ID:     Quiet,
	Title:  "Quiet source",
	Limit:  "no client connects for a whole window, nothing is queued, no new event",
	Next:   "stop or repoint the clients that use it, then run the step Decommission",
	MaxAge: 7 * day,
	About:  []migration.Aspect{migration.AspectSource},
	Undone: true,
	Gone:   true,
}, coverWatch, judgeQuiet)

// Fence is the id of the check of a source that refuses writes.
const Fence = "source-fenced"

var fenceCheck = New(Check{
	ID:     Fence,
	Title:  "Fenced source",
	Limit:  "writes are refused, and no client connects for a whole window",
	Next:   "stop or repoint the clients that connect; the window restarts by itself",
	MaxAge: 7 * day,
	About:  []migration.Aspect{migration.AspectSource},
	Undone: true,
	Gone:   true,
}, coverWatch, judgeFence)

// WatchFacts is the evidence of Quiet and Fence: for how long who used the old servers.
type WatchFacts struct {
	Nodes         []WatchedNode `json:"nodes"`
	WindowSeconds float64       `json:"window_seconds"`
	Began         time.Time     `json:"began"`
	// Since is when the present window began: nobody came since.
	Since  time.Time `json:"since"`
	SeenAt time.Time `json:"seen_at"`
	Over   bool      `json:"over"` // a whole window passed and nobody came
	Knocks []Knock   `json:"knocks"`
	// Findings are what must hold besides; of the fenced servers none.
	Findings []migration.Gate `json:"findings,omitempty"`
}

// WatchedNode is one server that was watched.
type WatchedNode struct {
	Address string `json:"address"`
	// Unseen is why single commands were not seen; empty: MONITOR showed them all.
	Unseen string `json:"unseen,omitempty"`
	Fenced bool   `json:"fenced"` // refuses every write
}

// Knock is a client that used, or tried to use, a server that nobody should use any more.
// Connections of one host with one name are one.
type Knock struct {
	Node string `json:"node"` // the server
	// Addr is the client's latest address; empty when it had left before anybody could see who
	// it was, and was only counted.
	Addr      string    `json:"addr,omitempty"`
	Name      string    `json:"name,omitempty"`
	User      string    `json:"user,omitempty"`
	Library   string    `json:"library,omitempty"`
	Command   string    `json:"command,omitempty"` // its last
	Times     int64     `json:"times"`             // connections
	Refused   int64     `json:"refused"`           // writes and sign-ins
	Connected bool      `json:"connected"`         // at the last look
	FirstSeen time.Time `json:"first_seen"`
	LastSeen  time.Time `json:"last_seen"`
}

// Who names the client, for people.
func (k Knock) Who() string {
	who := k.Addr
	if who == "" {
		who = "somebody who left at once"
	}
	if k.Name != "" {
		who += fmt.Sprintf(" named %q", k.Name)
	}
	return who
}

// Ends is when the window is over if nobody comes.
func (f WatchFacts) Ends() time.Time {
	return f.Since.Add(time.Duration(f.WindowSeconds * float64(time.Second)))
}

func (f WatchFacts) judge(fenced bool) (bool, string, error) {
	if len(f.Nodes) == 0 {
		return false, "", errors.New("no server was watched")
	}
	window := migration.Words(time.Duration(f.WindowSeconds * float64(time.Second)))
	for _, n := range f.Nodes {
		if fenced && !n.Fenced {
			return false, fmt.Sprintf("%s takes writes", n.Address), nil
		}
	}
	if failing := migration.Failing(f.Findings); len(failing) > 0 {
		var what []string
		for _, g := range failing {
			what = append(what, g.Title+": "+g.Measured)
		}
		return false, strings.Join(what, "; "), nil
	}
	if !f.Over {
		return false, fmt.Sprintf("nobody came for %s of %s",
			migration.Words(f.SeenAt.Sub(f.Since)), window), nil
	}
	says := "nobody used %s for %s; before that %s did"
	if fenced {
		says = "%s refused writes for %s, and nobody tried to use them; before that %s did"
	}
	return true, fmt.Sprintf(says, migration.Count(len(f.Nodes), "server"), window,
		migration.Count(len(f.Knocks), "client")), nil
}

func coverWatch(f WatchFacts) migration.Coverage {
	c := gates("finding", "the servers that were watched", f.Findings)
	c.Of = "server"
	c.Since, c.Until = f.Since, f.SeenAt
	for _, n := range f.Nodes {
		c.Members = append(c.Members, server(n.Address, migration.Met, n.Unseen))
	}
	return c
}

func judgeQuiet(f WatchFacts) (bool, string, error) { return f.judge(false) }

func judgeFence(f WatchFacts) (bool, string, error) { return f.judge(true) }
