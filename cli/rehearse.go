package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/rehearse"
	"github.com/switchyard-dev/switchyard/twin"
)

type rehearseCmd struct {
	Auto      bool     `help:"Work through every step unattended." required:""`
	Orders    int      `help:"How many orders are sent in all." default:"5000"`
	Rate      float64  `help:"Orders per second of each burst." default:"200"`
	Faults    []string `help:"Faults on the way, comma-separated: kill-master, freeze-source, kill-serve (up to three times), kill-ingestion."`
	Report    string   `help:"Write the report here (JSON) instead of to standard output." type:"path" placeholder:"FILE"`
	Dir       string   `help:"Folder for the rehearsal's data. Default: a new one under .switchyard, removed afterwards." type:"path" placeholder:"DIR"`
	Keep      bool     `help:"Keep the data of the rehearsal."`
	Ingestion string   `help:"The example ingestion app, built." default:"examples/ingestion" type:"path"`
	Durable   bool     `help:"The app keeps orders on disk before it acknowledges them (durable intake)." name:"durable-intake"`
	Deadline  string   `help:"How long an acknowledged order may take until it counts as lost." default:"90s"`
}

// Validate names what is wrong with the options before anything is started.
func (c rehearseCmd) Validate() error {
	if c.Orders < 500 {
		return fmt.Errorf("--orders %d: at least 500, so that every step has orders to show something with", c.Orders)
	}
	if c.Rate < 10 || c.Rate > 2000 {
		return fmt.Errorf("--rate %g: from 10 to 2000 orders per second", c.Rate)
	}
	kills := 0
	for _, f := range c.Faults {
		known := false
		for _, k := range twin.Faults() {
			known = known || k == f
		}
		if !known {
			return fmt.Errorf("--faults: unknown fault %q; there are %s", f, strings.Join(twin.Faults(), ", "))
		}
		if f == twin.KillServe {
			kills++
		}
	}
	if kills > 3 {
		return fmt.Errorf("--faults: kill-serve at most three times")
	}
	return nil
}

// errNotOK is what a rehearsal that did not go well ends with.
var errNotOK = errors.New("the rehearsal did not pass")

// Run rehearses and reports.
func (c rehearseCmd) Run(s *shell) (err error) {
	if c.Dir == "" {
		if err := os.MkdirAll(".switchyard", 0o700); err != nil {
			return err
		}
		if c.Dir, err = os.MkdirTemp(".switchyard", "rehearsal-"); err != nil {
			return err
		}
	}
	t, err := startTwin(s, twin.Config{Dir: c.Dir, IngestionDir: c.Ingestion, Orders: c.Orders, Rate: c.Rate, DurableIntake: c.Durable, Settings: map[string]string{
		"order_deadline": c.Deadline, "min_validation_orders": strconv.Itoa(rehearse.MinValidation(c.Orders))}})
	if err != nil {
		return err
	}
	report, runErr := rehearse.Run(s.ctx, rehearse.Options{Twin: t, Orders: c.Orders, Rate: c.Rate, Faults: c.Faults, Out: s.stderr})
	if closeErr := t.Close(); closeErr != nil {
		_, _ = fmt.Fprintln(s.stderr, "switchyard: ending the twin:", closeErr)
	}
	if err := c.write(s, report); err != nil {
		return err
	}
	if report.OK() && runErr == nil {
		if !c.Keep {
			return os.RemoveAll(c.Dir)
		}
		return nil
	}
	if errors.Is(runErr, context.Canceled) {
		return runErr
	}
	o := report.Orders
	return fmt.Errorf("%w: %d sent, %d fulfilled, %d lost, %d duplicated; %s\nIts data and logs are in %s", errNotOK, o.Sent, o.Fulfilled, o.Lost, o.Duplicated, report.Error, c.Dir)
}

func (c rehearseCmd) write(s *shell, r rehearse.Report) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	b = append(b, '\n')
	if c.Report == "" {
		_, err = s.stdout.Write(b)
		return err
	}
	_, _ = fmt.Fprintf(s.stderr, "%d orders sent, %d fulfilled, %d lost, %d duplicated in %s; report in %s\n", r.Orders.Sent, r.Orders.Fulfilled, r.Orders.Lost, r.Orders.Duplicated,
		time.Duration(r.Seconds*float64(time.Second)).Round(time.Second), c.Report)
	return os.WriteFile(c.Report, b, 0o644)
}
