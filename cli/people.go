package cli

import (
	"time"

	"github.com/switchyard-dev/switchyard/api"
)

// peopleCmd lists who can sign in, and the programs that have a key.
type peopleCmd struct{ remote }

// Help tells where accounts come from.
func (peopleCmd) Help() string {
	return "Accounts with their roles, and the keys of programs that are not revoked: nothing that " +
		"lets in. `switchyard keys` manages the keys."
}

// Run lists them.
func (c peopleCmd) Run(s *shell) error {
	client, mid, err := c.open(s)
	if err != nil {
		return err
	}
	p, err := client.People(s.ctx, mid)
	if err != nil {
		return err
	}
	return c.print(s, p, func(t table) { writePeople(t, p) })
}

func writePeople(t table, p api.People) {
	when := func(at *time.Time) string {
		if at == nil {
			return "never"
		}
		return at.UTC().Format(time.RFC3339)
	}
	for _, a := range p.Accounts {
		t.row("%s\t%s\tsigned in %s\tcreated %s", a.Name, a.Role, when(a.SignedIn),
			a.CreatedAt.UTC().Format(time.RFC3339))
	}
	for _, k := range p.Keys {
		t.row("%s\tkey\treads flag set %s\tcreated %s by %s", k.Name, k.Set,
			k.CreatedAt.UTC().Format(time.RFC3339), k.CreatedBy)
	}
}
