package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/scan"
)

// scanCmd proves from the source that every producer fails when its Redis does.
type scanCmd struct {
	server
	Dir      string `arg:"" help:"Folder with the app's TypeScript and JavaScript." type:"path"`
	JSON     bool   `name:"json" help:"Print the report as JSON."`
	SARIF    string `name:"sarif" help:"Also write SARIF 2.1.0." type:"path" placeholder:"FILE"`
	Evidence string `help:"Also write evidence for Switchyard." type:"path" placeholder:"FILE"`
	Submit   bool   `help:"Send the evidence to a Switchyard server."`
	Source   string `help:"What was scanned. Default: the folder's name."`
	Commit   string `help:"Commit of the source."`

	Timeout time.Duration `help:"Give up after this time." default:"5m"`
}

// Help tells what happens to the result.
func (scanCmd) Help() string {
	return "Fails unless every BullMQ producer fails fast when its Redis does, or is an accepted " +
		"exception. Code scanning takes the SARIF file. Evidence is sent with --submit, by the " +
		"account --user, or uploaded on the page Circuit breaker; it holds places, verdicts and " +
		"reasons, and no source. Without --submit, no Switchyard server is needed."
}

// Run scans, prints the report, and fails unless every producer passes or was decided on.
func (c scanCmd) Run(s *shell) error {
	if c.Timeout <= 0 {
		return migration.Errorf(migration.Invalid, "--timeout must be above 0")
	}
	ctx, cancel := context.WithTimeout(s.ctx, c.Timeout)
	defer cancel()
	r, err := scan.Run(ctx, c.Dir, scan.Options{})
	switch {
	case s.ctx.Err() != nil:
		return migration.Errorf(migration.Conflict, "interrupted: nothing is known")
	case migration.KindOf(err) == migration.NotFound:
		return migration.Errorf(migration.Invalid, "%v", err)
	case err != nil:
		return err
	}
	if c.SARIF != "" {
		if err := writeSARIF(c.SARIF, r); err != nil {
			return err
		}
	}
	if err := c.print(s, r); err != nil {
		return err
	}
	if err := c.hand(s, r); err != nil {
		return err
	}
	if r.Green() {
		return nil
	}
	if len(r.Findings) == 0 {
		return migration.Errorf(migration.Conflict,
			"no BullMQ producer was found in %s: that proves nothing", count(r.Files, "file"))
	}
	_, fail, review, _ := r.Counts()
	return migration.Errorf(migration.Conflict,
		"producers that fail: %d, that need review: %d", fail, review)
}

func (c scanCmd) print(s *shell, r scan.Report) error {
	if !c.JSON {
		return scan.WriteText(s.stdout, r)
	}
	e := json.NewEncoder(s.stdout)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(r)
}

// hand passes the report on as evidence, whatever it says.
func (c scanCmd) hand(s *shell, r scan.Report) error {
	if c.Evidence == "" && !c.Submit {
		return nil
	}
	facts := r.Facts(cmp.Or(c.Source, filepath.Base(c.Dir)), c.Commit)
	if c.Evidence != "" {
		b, err := json.MarshalIndent(facts, "", "  ")
		if err == nil {
			err = os.WriteFile(c.Evidence, append(b, '\n'), 0o600)
		}
		if err != nil {
			return migration.Errorf(migration.Invalid, "the evidence file: %v", err)
		}
	}
	if !c.Submit {
		return nil
	}
	client, mid, err := c.open(s)
	if err != nil {
		return err
	}
	return client.SubmitScan(s.ctx, mid, facts)
}

func writeSARIF(name string, r scan.Report) (err error) {
	f, err := os.Create(name)
	if err != nil {
		return migration.Errorf(migration.Invalid, "the SARIF file: %v", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return scan.WriteSARIF(f, r, version)
}

// confirmCmd makes a decision count that the submitted scan has from its file.
type confirmCmd struct {
	remote
	Finding string `arg:"" help:"ID of the finding, as switchyard scan prints it."`
}

// Help tells whose word counts.
func (confirmCmd) Help() string {
	return "Anybody can write a name into the file of exceptions: one counts once the account " +
		"that it names submits the scan, or a signed-in engineer confirms it."
}

// Run confirms as the account that is signed in.
func (c confirmCmd) Run(s *shell) error {
	client, mid, err := c.open(s)
	if err != nil {
		return err
	}
	return client.ConfirmScanDecision(s.ctx, mid, c.Finding)
}
