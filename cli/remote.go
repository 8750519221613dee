package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/switchyard-dev/switchyard/api"
	"github.com/switchyard-dev/switchyard/migration"
)

// remote are the options of the commands that talk to a running server. The password is read from the environment only: arguments are
// seen by everybody on the machine.
type remote struct {
	URL       string `help:"The server; SWITCHYARD_URL." env:"SWITCHYARD_URL" default:"http://127.0.0.1:8080"`
	User      string `help:"Account; SWITCHYARD_USER. Its password is SWITCHYARD_PASSWORD." env:"SWITCHYARD_USER" required:""`
	Migration string `help:"Migration. Default: the only one." placeholder:"ID"`
	JSON      bool   `help:"Print JSON."`
}

// open signs in and finds the migration.
func (r remote) open(s *shell) (*api.Client, string, error) {
	password := s.getenv("SWITCHYARD_PASSWORD")
	if password == "" {
		return nil, "", migration.Errorf(migration.Invalid, "set SWITCHYARD_PASSWORD to the password of %s", r.User)
	}
	c := api.New(r.URL, "").WithPatience(0)
	if _, err := c.SignIn(s.ctx, r.User, migration.Secret(password)); err != nil {
		return nil, "", fmt.Errorf("sign in at %s: %w", r.URL, err)
	}
	if r.Migration != "" {
		return c, r.Migration, nil
	}
	all, err := c.Migrations(s.ctx)
	if err != nil {
		return nil, "", err
	}
	if len(all) != 1 {
		return nil, "", migration.Errorf(migration.Invalid, "there are %d migrations: choose one with --migration", len(all))
	}
	return c, all[0].ID, nil
}

func (r remote) print(w io.Writer, v any, text func(io.Writer)) error {
	return printed(w, r.JSON, v, text)
}

// printed writes v as JSON, or as text in columns that tabs part.
func printed(w io.Writer, asJSON bool, v any, text func(io.Writer)) error {
	if asJSON {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(v)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	text(t)
	return t.Flush()
}
