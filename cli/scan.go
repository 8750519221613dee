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

// scanCmd proves from the source that every producer fails when its Redis does. It needs no Switchyard server.
type scanCmd struct {
	Dir      string `arg:"" help:"Folder with the TypeScript and JavaScript of the app." type:"path"`
	JSON     bool   `name:"json" help:"Print the report as JSON."`
	SARIF    string `name:"sarif" help:"Write the report as SARIF 2.1.0 too, for code scanning in CI." type:"path" placeholder:"FILE"`
	Evidence string `help:"Write what was found as evidence for Switchyard to this file; the page Breaker takes it." type:"path" placeholder:"FILE"`
	Submit   bool   `help:"Send what was found to a Switchyard server as evidence; only places, verdicts and reasons leave this machine."`
	Source   string `help:"What was scanned, such as the repository's name. Default: the folder's name."`
	Commit   string `help:"Commit of the source."`
	Remote   struct {
		URL       string `help:"With --submit: the server." env:"SWITCHYARD_URL" default:"http://127.0.0.1:8080"`
		User      string `help:"With --submit: account; its password is SWITCHYARD_PASSWORD." env:"SWITCHYARD_USER"`
		Migration string `help:"With --submit: migration. Default: the only one." placeholder:"ID"`
	} `embed:""`
	Timeout time.Duration `help:"Give up after this time: then nothing is known." default:"5m"`
}

// Run scans, prints the report, and fails unless every producer passes or was decided on.
func (c scanCmd) Run(s *shell) error {
	if c.Timeout <= 0 {
		return migration.Errorf(migration.Invalid, "the timeout is above 0")
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
	if c.JSON {
		e := json.NewEncoder(s.stdout)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		err = e.Encode(r)
	} else {
		err = scan.WriteText(s.stdout, r)
	}
	if err != nil {
		return err
	}
	if err := c.hand(s, r); err != nil {
		return err
	}
	if r.Green() {
		return nil
	}
	if len(r.Findings) == 0 {
		return migration.Errorf(migration.Conflict, "no BullMQ producer was found in %d files: that proves nothing", r.Files)
	}
	_, fail, review, _ := r.Counts()
	return migration.Errorf(migration.Conflict, "%d producers fail, %d are to be decided", fail, review)
}

// hand gives the report on as evidence, whatever it says.
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
	if c.Remote.User == "" {
		return migration.Errorf(migration.Invalid, "--submit needs --user, or SWITCHYARD_USER")
	}
	client, mid, err := remote{URL: c.Remote.URL, User: c.Remote.User, Migration: c.Remote.Migration}.open(s)
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
