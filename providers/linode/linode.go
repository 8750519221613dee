// Package linode turns virtual machines off and on through the Linode API v4, takes
// snapshots, and deletes one when told its id and its label. It wraps linodego, whose
// retries (1000 attempts by default) and timeouts it bounds. linodego also repeats requests
// whose answer was lost, which is right for reads only: a change is sent once, and again
// only when the API said that it did nothing.
package linode

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/linode/linodego"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/providers/httpapi"
)

// DefaultBase is the address of the API; the version is appended by linodego.
const DefaultBase = "https://api.linode.com"

const (
	requestTimeout = 20 * time.Second
	// retries is how often a read is repeated, and a change that was refused for the
	// moment: 429 and "Linode busy.".
	retries  = 4
	maxWait  = 10 * time.Second
	pollWait = 500 * time.Millisecond
)

// Statuses that callers wait for. The API knows more, such as shutting_down and booting.
const (
	Running = "running"
	Offline = "offline"
)

// Instance is one virtual machine.
type Instance struct {
	ID     int
	Label  string
	Status string
	Region string
	Type   string // such as g6-nanode-1
	IPv4   []string
	// Backups is whether the Backups service is enabled, which is paid for separately.
	// Without it there are no snapshots.
	Backups bool
}

// APIError is an answer that the API gave instead of the expected one; its Code is the HTTP status.
type APIError = linodego.Error

// Client talks to the API. The token needs the scope linodes:read_only to look,
// linodes:read_write for the rest.
type Client struct {
	api  linodego.Client // reads
	once linodego.Client // changes
}

// New returns a client. An empty base means DefaultBase (no path; linodego adds /v4); hc
// may be nil.
func New(base string, token migration.Secret, hc *http.Client) (*Client, error) {
	if base == "" {
		base = DefaultBase
	}
	u, err := url.Parse(base)
	if err != nil || u.Scheme == "" || u.Host == "" {
		return nil, migration.Errorf(
			migration.Invalid,
			"the Linode API address is not a URL with scheme and host",
		)
	}
	if !httpapi.Confidential(u) {
		return nil, migration.Errorf(
			migration.Invalid,
			"linode: %s://%s is not https: credentials are not sent in the clear",
			u.Scheme,
			u.Host,
		)
	}
	own := http.Client{}
	if hc != nil {
		own = *hc
	}
	if own.Timeout == 0 {
		own.Timeout = requestTimeout
	}
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	open := func(retries int) linodego.Client {
		hc := own // linodego puts its own settings on it
		api := linodego.NewClient(&hc)
		api.SetBaseURL(base).
			SetAPIVersion(linodego.APIVersion).
			SetToken(token.Reveal()).
			SetUserAgent("switchyard").
			SetRetryCount(retries).
			SetRetryWaitTime(pollWait).
			SetRetryMaxWaitTime(maxWait).
			SetPollDelay(pollWait)
		return api
	}
	return &Client{api: open(retries), once: open(0)}, nil
}

// change sends a request that changes something, and again while the API answers that it
// did nothing for the moment: a 429 or "Linode busy.".
func (c *Client) change(ctx context.Context, do func(context.Context) error) error {
	for attempt := 0; ; attempt++ {
		err := do(ctx)
		e, ok := errors.AsType[*linodego.Error](err)
		later := ok &&
			(e.Code == http.StatusTooManyRequests ||
				e.Code == http.StatusBadRequest && strings.Contains(e.Message, "Linode busy."))
		if !later || attempt == retries {
			return err
		}
		wait := c.api.GetPollDelay()
		if e.Response != nil {
			if s, atoiErr := strconv.Atoi(e.Response.Header.Get("Retry-After")); atoiErr == nil &&
				s > 0 {
				wait = time.Duration(s) * time.Second
			}
		}
		if wait > maxWait {
			return err // told rather than waited for
		}
		if pauseErr := httpapi.Pause(ctx, wait); pauseErr != nil {
			return fmt.Errorf("%w: %w", err, pauseErr)
		}
	}
}

// Poll sets how often to look while waiting, and how long to wait before a request that was
// refused for the moment is sent again. New sets 500 ms.
func (c *Client) Poll(every time.Duration) {
	c.api.SetRetryWaitTime(every).SetPollDelay(every)
}

// Instance returns the machine of that id. One that does not exist is an error for which
// NotFound is true.
func (c *Client) Instance(ctx context.Context, id int) (Instance, error) {
	got, err := c.api.GetInstance(ctx, id)
	if err != nil && ctx.Err() != nil { // linodego does not keep the cause
		return Instance{}, fmt.Errorf("linode instance %d: %w", id, context.Cause(ctx))
	}
	if err != nil {
		return Instance{}, fmt.Errorf("linode instance %d: %w", id, err)
	}
	inst := Instance{
		ID:      got.ID,
		Label:   got.Label,
		Status:  string(got.Status),
		Region:  got.Region,
		Type:    got.Type,
		Backups: got.Backups != nil && got.Backups.Enabled,
	}
	for _, ip := range got.IPv4 {
		inst.IPv4 = append(inst.IPv4, ip.String())
	}
	return inst, nil
}

// NotFound reports whether err says that the instance does not exist.
func NotFound(err error) bool { return linodego.IsNotFound(err) }

// Shutdown asks for an orderly power-off and returns at once; WaitStatus tells when it is
// done. It does nothing to a machine that is off or on its way there.
func (c *Client) Shutdown(ctx context.Context, id int) error {
	return c.move(ctx, id, Offline, linodego.InstanceShuttingDown, c.once.ShutdownInstance)
}

// Boot asks for power-on and returns at once; WaitStatus tells when it is done. It does
// nothing to a machine that runs or is on its way there.
func (c *Client) Boot(ctx context.Context, id int) error {
	return c.move(
		ctx,
		id,
		Running,
		linodego.InstanceBooting,
		func(ctx context.Context, id int) error {
			return c.once.BootInstance(ctx, id, 0) // 0: the last used configuration
		},
	)
}

func (c *Client) move(
	ctx context.Context,
	id int,
	goal string,
	underway linodego.InstanceStatus,
	do func(context.Context, int) error,
) error {
	inst, err := c.Instance(ctx, id)
	if err != nil {
		return err
	}
	if inst.Status == goal || inst.Status == string(underway) {
		return nil
	}
	if err := c.change(ctx, func(ctx context.Context) error { return do(ctx, id) }); err != nil {
		return fmt.Errorf("linode instance %d (%s) to %s: %w", id, inst.Label, goal, err)
	}
	return nil
}

// Delete removes the machine with its disks and all its backups. It cannot be undone, so it
// is refused (kind Conflict) unless the label is that of the machine and the machine is
// off.
func (c *Client) Delete(ctx context.Context, id int, label string) error {
	inst, err := c.Instance(ctx, id)
	if err != nil {
		return err
	}
	switch {
	case label == "" || inst.Label != label:
		return migration.Errorf(
			migration.Conflict,
			"linode instance %d is named %q, not %q: nothing was deleted",
			id,
			inst.Label,
			label,
		)
	case inst.Status != Offline:
		return migration.Errorf(
			migration.Conflict,
			"linode instance %d (%s) is %s, not offline: shut it down first; nothing was deleted",
			id,
			label,
			inst.Status,
		)
	}
	if err := c.change(ctx, func(ctx context.Context) error { return c.once.DeleteInstance(ctx, id) }); err != nil {
		return fmt.Errorf("delete linode instance %d (%s): %w", id, label, err)
	}
	return nil
}

// WaitStatus polls until the machine has that status. The caller's context bounds the wait.
func (c *Client) WaitStatus(ctx context.Context, id int, status string) error {
	ticker := time.NewTicker(c.api.GetPollDelay())
	defer ticker.Stop()
	for {
		inst, err := c.Instance(ctx, id)
		if err != nil {
			return err
		}
		if inst.Status == status {
			return nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return fmt.Errorf(
				"linode instance %d (%s) is %s, waiting for %s: %w",
				id,
				inst.Label,
				inst.Status,
				status,
				context.Cause(ctx),
			)
		}
	}
}
