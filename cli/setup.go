package cli

import (
	"cmp"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/api"
	"github.com/switchyard-dev/switchyard/migration"
)

type setupCmd struct {
	Show    setupShowCmd    `cmd:"" default:"withargs" help:"Show what each part said when it was asked last."`
	Test    setupTestCmd    `cmd:"" help:"Ask every part now, or one of them."`
	Address setupAddressCmd `cmd:"" help:"Ask a Redis that is not configured."`
}

type setupShowCmd struct{ remote }

// Run asks nothing but the server.
func (c setupShowCmd) Run(s *shell) error {
	client, mid, err := c.open(s)
	if err != nil {
		return err
	}
	all, err := client.Setup(s.ctx, mid)
	if err != nil {
		return err
	}
	return c.print(s, all, func(t table) { writeSetup(t, all) })
}

type setupTestCmd struct {
	remote
	Part string `arg:"" optional:"" help:"Id of the part, such as standalone; default: every part."`
}

// Help tells how it differs from doctor.
func (setupTestCmd) Help() string {
	return "The running server asks, from where it runs and with the configuration that it was " +
		"started with. It changes nothing. Fails when something fails."
}

// Run begins a test and waits for its end.
func (c setupTestCmd) Run(s *shell) error {
	client, mid, err := c.open(s)
	if err != nil {
		return err
	}
	all, err := client.TestSetup(s.ctx, mid, c.Part)
	for err == nil && all.Test != nil {
		select {
		case <-s.ctx.Done():
			return s.ctx.Err()
		case <-time.After(500 * time.Millisecond):
		}
		all, err = client.Setup(s.ctx, mid)
	}
	if err != nil {
		return err
	}
	if err := c.print(s, all, func(t table) { writeSetup(t, all) }); err != nil {
		return err
	}
	failing := 0
	for _, p := range all.Parts {
		if c.Part == "" || p.ID == c.Part {
			failing += failures(p.Findings)
		}
	}
	return setupFailed(failing)
}

type setupAddressCmd struct {
	remote
	Name string `arg:"" help:"Variable that holds the URL: of this shell, or else of the server."`
}

// Help tells why it takes no URL.
func (setupAddressCmd) Help() string {
	return "Says whether the running server reaches a Redis, over TLS or not, what it is, and " +
		"which rights its user would lack as the old Redis. A URL as an argument would be seen by " +
		"everybody on this machine, so it is the name of a variable."
}

// Run asks and prints.
func (c setupAddressCmd) Run(s *shell) error {
	client, mid, err := c.open(s)
	if err != nil {
		return err
	}
	if strings.Contains(c.Name, "://") {
		return migration.Errorf(migration.Invalid, "give the name of a variable that holds the URL")
	}
	test, err := client.TestAddress(s.ctx, mid,
		migration.Secret(cmp.Or(s.getenv(c.Name), c.Name)))
	if err != nil {
		return err
	}
	if err := c.print(s, test, func(t table) { writeFindings(t, test.Findings) }); err != nil {
		return err
	}
	return setupFailed(failures(test.Findings))
}

func writeSetup(t table, all api.Setup) {
	for _, p := range all.Parts {
		when := "not asked yet"
		if !p.AskedAt.IsZero() {
			when = "asked by " + p.AskedBy + " at " + p.AskedAt.UTC().Format(time.RFC3339)
		}
		t.row("%s (%s): %s", p.ID, p.Title, when)
		writeFindings(t, p.Findings)
	}
	for _, c := range all.Criteria {
		if len(c.Missing) > 0 {
			t.row("%s: see %s", c.ID, strings.Join(c.Missing, ", "))
		}
	}
}

func writeFindings(t table, all []api.SetupFinding) {
	for _, f := range all {
		t.row("  %-7s  %s: %s", f.State, f.Key, f.Said)
		if f.Next != "" {
			t.row("           next: %s", f.Next)
		}
	}
}

func failures(all []api.SetupFinding) int {
	n := 0
	for _, f := range all {
		if f.State == api.SetupFails {
			n++
		}
	}
	return n
}

func setupFailed(n int) error {
	if n == 0 {
		return nil
	}
	return migration.Errorf(migration.Blocked, "%s", count(n, "failure"))
}
