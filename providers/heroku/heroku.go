// Package heroku reads and changes the config vars of an app through the Heroku Platform
// API v3. Changing one restarts every dyno of the app, so it is how an app learns a new
// endpoint, never how traffic is cut over.
package heroku

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/providers/httpapi"
)

// DefaultBase is the address of the API.
const DefaultBase = "https://api.heroku.com"

// APIError is an answer that the API gave instead of the expected one.
type APIError = httpapi.Error

// Client talks to the API. It is safe for concurrent use.
type Client struct{ api httpapi.Client }

// New returns a client. An empty base means DefaultBase; hc may be nil. The token needs
// read and write access to the app's protected config vars (OAuth scope write-protected).
func New(base string, token migration.Secret, hc *http.Client) *Client {
	if base == "" {
		base = DefaultBase
	}
	header := http.Header{
		"Accept":     {"application/vnd.heroku+json; version=3"},
		"User-Agent": {"switchyard"},
	}
	return &Client{httpapi.Client{API: "heroku", Base: base, Key: token, HTTP: hc, Header: header}}
}

// ConfigVars returns all config vars of an app, by name or id of the app. Values are
// secrets: most of them carry a credential.
func (c *Client) ConfigVars(ctx context.Context, app string) (map[string]migration.Secret, error) {
	path, err := varsPath(app)
	if err != nil {
		return nil, err
	}
	var vars map[string]migration.Secret
	if err := c.api.Do(ctx, http.MethodGet, path, nil, &vars); err != nil {
		return nil, fmt.Errorf("config vars of %s: %w", app, err)
	}
	return vars, nil
}

// SetConfigVars sets the given config vars and deletes those whose value is nil; others
// stay. It reads them first and changes nothing when all are so already, because every
// change restarts the app; changed says whether it did.
func (c *Client) SetConfigVars(
	ctx context.Context,
	app string,
	vars map[string]*migration.Secret,
) (changed bool, err error) {
	have, err := c.ConfigVars(ctx, app)
	if err != nil {
		return false, err
	}
	patch := map[string]*string{} // plain strings: a Secret encodes as "redacted"
	for name, want := range vars {
		now, set := have[name]
		switch {
		case want == nil && set:
			patch[name] = nil
		case want != nil && (!set || now != *want):
			value := want.Reveal()
			patch[name] = &value
		}
	}
	if len(patch) == 0 {
		return false, nil
	}
	path, err := varsPath(app)
	if err != nil {
		return false, err
	}
	if err := c.api.Do(ctx, http.MethodPatch, path, patch, nil); err != nil {
		return false, fmt.Errorf("set config vars of %s: %w", app, err)
	}
	return true, nil
}

func varsPath(app string) (string, error) {
	if app == "" || app == "." || app == ".." {
		return "", migration.Errorf(migration.Invalid, "%q is not a Heroku app", app)
	}
	return "/apps/" + url.PathEscape(app) + "/config-vars", nil
}
