package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/switchyard-dev/switchyard/api"
	"github.com/switchyard-dev/switchyard/migration"
)

// remote are the options of commands that talk to a running server. The password is read from
// the environment only: everybody on the machine can see arguments.
type remote struct {
	server
	JSON bool `help:"Print JSON."`
}

// server is which server, who asks it, and about which migration.
type server struct {
	URL       string `help:"The server." env:"SWITCHYARD_URL" default:"http://127.0.0.1:8080"`
	User      string `help:"Account. Its password is SWITCHYARD_PASSWORD." env:"SWITCHYARD_USER"`
	Migration string `help:"Migration. Default: the only one." placeholder:"ID"`
}

// open signs in and finds the migration.
func (r server) open(s *shell) (*api.Client, string, error) {
	if r.User == "" {
		return nil, "", migration.Errorf(migration.Invalid,
			"say who you are: --user, or SWITCHYARD_USER")
	}
	password := s.getenv("SWITCHYARD_PASSWORD")
	if password == "" {
		return nil, "", migration.Errorf(migration.Invalid,
			"set SWITCHYARD_PASSWORD to the password of %s", r.User)
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
		return nil, "", migration.Errorf(migration.Invalid,
			"there are %d migrations: choose one with --migration", len(all))
	}
	return c, all[0].ID, nil
}

// print writes v as JSON where that was asked for, else as text.
func (r remote) print(s *shell, v any, text func(table)) error {
	return printed(s, r.JSON, v, text)
}

func printed(s *shell, asJSON bool, v any, text func(table)) error {
	if asJSON {
		e := json.NewEncoder(s.stdout)
		e.SetIndent("", "  ")
		return e.Encode(v)
	}
	t := tabwriter.NewWriter(s.stdout, 0, 0, 2, ' ', 0)
	text(table{t})
	return t.Flush()
}

// table is text in columns.
type table struct{ w io.Writer }

// row writes one line, in which tabs end a column. What cannot be written shows when the table
// ends.
func (t table) row(format string, args ...any) {
	_, _ = fmt.Fprintf(t.w, format, args...)
	_, _ = fmt.Fprintln(t.w)
}

// count writes a number with its noun: 1 key, 2 keys.
func count[N int | int64](n N, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
