package cli

import (
	"github.com/switchyard-dev/switchyard/api"
	"github.com/switchyard-dev/switchyard/migration"
)

type searchCmd struct {
	remote
	Text string `arg:"" help:"Begin of a run's id, id of an order or job, or words."`
	Jobs bool   `help:"Also look for a job of this id, on both sides." default:"true" negatable:""`
}

// Help tells when the command fails.
func (searchCmd) Help() string { return "Fails when a source did not answer: it names which." }

// Run prints what was found. It fails when something could not be searched.
func (c searchCmd) Run(s *shell) error {
	client, mid, err := c.open(s)
	if err != nil {
		return err
	}
	r, err := client.Search(s.ctx, mid, c.Text, c.Jobs)
	if err != nil {
		return err
	}
	if err := c.print(s, r, func(t table) { writeSearch(t, r) }); err != nil {
		return err
	}
	for _, f := range r.Failed() {
		return migration.Errorf(migration.Unavailable,
			"%s not searched: %s", f.Source, f.Error)
	}
	return nil
}

func writeSearch(t table, r api.SearchAnswer) {
	for _, f := range r.Found {
		t.row("%s\t%s\t%s\t%s", f.Kind, f.ID, f.Title, f.Detail)
	}
	if len(r.Found) == 0 {
		t.row("nothing found")
	}
	for _, s := range r.Sources {
		if s.More {
			t.row("more %s are not listed: search for more words", s.Source)
		}
	}
}
