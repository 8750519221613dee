package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/scan"
)

// scanCmd proves from the source that every producer fails when its Redis does. It needs no Switchyard server.
type scanCmd struct {
	Dir     string        `arg:"" help:"Folder with the TypeScript and JavaScript of the app." type:"path"`
	JSON    bool          `name:"json" help:"Print the report as JSON."`
	SARIF   string        `name:"sarif" help:"Write the report as SARIF 2.1.0 too, for code scanning in CI." type:"path" placeholder:"FILE"`
	Timeout time.Duration `help:"Give up after this time: then nothing is known." default:"5m"`
}

// Run scans, prints the report, and fails unless every producer passes or was decided on.
func (c scanCmd) Run(s *surroundings) error {
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
	if r.Green() {
		return nil
	}
	if len(r.Findings) == 0 {
		return migration.Errorf(migration.Conflict, "no BullMQ producer was found in %d files: that proves nothing", r.Files)
	}
	_, fail, review, _ := r.Counts()
	return migration.Errorf(migration.Conflict, "%d producers fail, %d are to be decided", fail, review)
}

func writeSARIF(name string, r scan.Report) (err error) {
	f, err := os.Create(name)
	if err != nil {
		return migration.Errorf(migration.Invalid, "the SARIF file: %v", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return scan.WriteSARIF(f, r, version)
}
