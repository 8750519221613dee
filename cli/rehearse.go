package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/switchyard-dev/switchyard/rehearse"
	"github.com/switchyard-dev/switchyard/twin"
)

type rehearseCmd struct {
	app
	Auto      bool          `help:"Work through every step unattended." required:""`
	Orders    int           `help:"How many orders are sent in all." default:"5000"`
	Rate      float64       `help:"Orders per second of each burst." default:"200"`
	Faults    []string      `help:"Faults to inject, comma-separated."`
	LateOrder time.Duration `help:"Have one order from before the cutover be due this much later."`
	Neighbour bool          `help:"An unknown app uses the old Redis, and its second database holds jobs."`
	Report    string        `help:"Write the report (JSON) here." type:"path" placeholder:"FILE"`
	Dir       string        `help:"Folder for the data." type:"path" placeholder:"DIR"`
	Keep      bool          `help:"Keep the data of the rehearsal."`
	Deadline  time.Duration `help:"An acknowledged order is lost after this time." default:"90s"`
}

// Help tells about faults, data and the report.
func (rehearseCmd) Help() string {
	return "Starts a twin, sends orders, and works through the migration as a client of the " +
		"public API. Faults are kill-master, freeze-source, kill-serve (up to three times) and " +
		"kill-ingestion. With --managed url nothing has an API: the rehearsal does what a person " +
		"would, and confirms it. With --neighbour an app and a database that nobody knows of block " +
		"until the rehearsal deals with them. With --fleet two instances of the app, each with a " +
		"journal of its own, share a sink, and a second app has a routed queue of its own. The " +
		"report goes to standard output unless --report names a file. Data is kept in a new " +
		"folder below .switchyard and removed " +
		"afterwards, unless the rehearsal failed."
}

// Validate names what is wrong with the options before anything is started.
func (c rehearseCmd) Validate() error { return c.options().Validate() }

func (c rehearseCmd) options() rehearse.Options {
	return rehearse.Options{Orders: c.Orders, Rate: c.Rate, Faults: c.Faults,
		LateOrder: c.LateOrder, Neighbour: c.Neighbour}
}

// deadline counts from when the late order is due: until then it is not lost.
func (c rehearseCmd) deadline() time.Duration {
	return c.LateOrder + c.Deadline
}

// errNotOK is what a rehearsal that did not go well ends with.
var errNotOK = errors.New("the rehearsal did not pass")

// Run rehearses and reports.
func (c rehearseCmd) Run(s *shell) (err error) {
	if c.Dir == "" {
		if c.Dir, err = newDir(); err != nil {
			return err
		}
	}
	t, err := startTwin(s, twin.Config{
		Dir: c.Dir, IngestionDir: c.Ingestion, DurableIntake: c.Durable, Managed: c.Managed,
		Orders: c.Orders, Rate: c.Rate, Neighbour: c.Neighbour, Fleet: c.Fleet, Settings: map[string]string{
			"order_deadline":        c.deadline().String(),
			"min_validation_orders": strconv.Itoa(rehearse.MinValidation(c.Orders)),
		},
	})
	if err != nil {
		return err
	}
	o := c.options()
	o.Twin, o.Out = t, s.stderr
	report, runErr := rehearse.Run(s.ctx, o)
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
	return fmt.Errorf("%w: %s; %s\nIts data and logs are in %s",
		errNotOK, counted(report.Orders), report.Error, c.Dir)
}

func newDir() (string, error) {
	if err := os.MkdirAll(".switchyard", 0o700); err != nil {
		return "", err
	}
	return os.MkdirTemp(".switchyard", "rehearsal-")
}

func counted(o rehearse.OrderCount) string {
	return fmt.Sprintf("%d orders sent, %d fulfilled, %d lost, %d duplicated",
		o.Sent, o.Fulfilled, o.Lost, o.Duplicated)
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
	_, _ = fmt.Fprintf(s.stderr, "%s in %s; report in %s\n",
		counted(r.Orders), seconds(r.Seconds), c.Report)
	return os.WriteFile(c.Report, b, 0o644) //nolint:gosec // a report holds no secret, and is handed on
}
