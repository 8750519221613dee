package cli

import (
	"github.com/switchyard-dev/switchyard/conform"
	"github.com/switchyard-dev/switchyard/docs/contract"
	"github.com/switchyard-dev/switchyard/migration"
)

const envIngestion = "INGESTION_TOKEN"

type conformCmd struct {
	URL      string `arg:"" optional:"" help:"Where the app is, such as http://127.0.0.1:3000."`
	Queue    string `help:"The queue that the app adds orders to, without its prefix."`
	JSON     bool   `name:"json" help:"Print JSON."`
	Document bool   `help:"Print the contract's OpenAPI document instead, and ask nobody."`
}

// Help tells what is done to the app.
func (conformCmd) Help() string {
	return "Drives an app, in whatever language, through the contract of its /switchyard/* " +
		"addresses (docs/contract.md), and says of each rule whether the app keeps it. The app's " +
		"token is read from INGESTION_TOKEN. It adds one canary, twice, to the app's own queue, and " +
		"nothing else. Exits 1 unless every rule is kept. Needs no Switchyard server."
}

// Run tries the app, and prints each result as it comes.
func (c conformCmd) Run(s *shell) error {
	if c.Document {
		return printed(s, false, nil, func(t table) { t.row("%s", contract.Document) })
	}
	if c.URL == "" || c.Queue == "" {
		return migration.Errorf(migration.Invalid, "say where the app is and which queue it adds "+
			"orders to: switchyard conform http://127.0.0.1:3000 --queue orders")
	}
	token := s.getenv(envIngestion)
	if token == "" {
		return migration.Errorf(migration.Invalid, "set %s to the token of the app's "+
			"/switchyard/* addresses", envIngestion)
	}
	all := conform.Run(s.ctx, conform.Options{
		URL: c.URL, Token: migration.Secret(token), Queue: c.Queue,
		Tell: func(r conform.Result) {
			if c.JSON {
				return
			}
			_ = printed(s, false, nil, func(t table) { // a shell that is gone reads nothing
				t.row("%s  %-14s  %s", r.Verdict, r.Rule, r.Said)
				if r.Verdict == conform.Broken {
					t.row("      %-14s  must: %s", "", r.Must)
				}
			})
		},
	})
	if s.ctx.Err() != nil {
		return migration.Errorf(migration.Conflict, "interrupted: not every rule was tried")
	}
	if c.JSON {
		if err := printed(s, true, all, nil); err != nil {
			return err
		}
	}
	if broken, open := conform.Failed(all); broken+open > 0 {
		return migration.Errorf(migration.Conflict,
			"of %d rules %d are broken, and %d could not be judged", len(all), broken, open)
	}
	return nil
}
