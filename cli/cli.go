// Package cli is the command line of Switchyard: one file for each command, or for two that
// share their options. A command is its flags, calls of the API's client or of the package that
// does the work, and what is printed.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/workflows"
)

// version is set by the build, with -ldflags "-X".
var version = "dev"

// Exit codes: 1 says no (an order is lost, a criterion is not met), 2 that the question was wrong
// (usage, configuration).
const (
	exitFailed = 1
	exitUsage  = 2
)

const description = "Takes BullMQ queues off a single Redis without losing or " +
	"double-processing an order, and proves it."

// commands is the command line. Those of the last group need no Switchyard server.
type commands struct {
	Serve    serveCmd    `cmd:"" help:"Serve the pages, the API and the flags."`
	Twin     twinCmd     `cmd:"" help:"Run everything on this machine: servers, orders, pages."`
	Rehearse rehearseCmd `cmd:"" help:"Run a whole migration unattended on a twin, and report."`
	Reset    resetCmd    `cmd:"" help:"Remove the twin's data."`
	Plan     planCmd     `cmd:"" help:"Check a plan file, or print the embedded one."`
	Version  versionCmd  `cmd:"" help:"Print the version."`

	Status   statusCmd   `cmd:"" help:"Show the criteria and what to do next."`
	Step     stepCmd     `cmd:"" help:"Plan or start a step."`
	Run      runCmd      `cmd:"" help:"List, show, approve, reject, pause, cancel or roll back runs."`
	Search   searchCmd   `cmd:"" help:"Find runs, orders, jobs, steps, queues, flags, alerts, people."`
	Summary  summaryCmd  `cmd:"" help:"Print or share the status report, at the end the closing report."`
	Report   reportCmd   `cmd:"" help:"Show what would break if you cut over now."`
	Outage   outageCmd   `cmd:"" help:"Show what an outage means for orders and retries."`
	Replay   replayCmd   `cmd:"" help:"Recover the events that a payment provider gave up on."`
	Capacity capacityCmd `cmd:"" help:"Show costs, and use against the limits of the managed plan."`
	Series   seriesCmd   `cmd:"" help:"Show what was measured over time, of the last 30 days."`
	Export   exportCmd   `cmd:"" help:"Print the managed Redis as Terraform or as Helm values."`
	Ledger   ledgerCmd   `cmd:"" help:"Show whether an order is lost or was processed twice."`
	Jobs     jobsCmd     `cmd:"" help:"Find and change jobs on both sides."`
	Waivers  waiversCmd  `cmd:"" help:"List, sign and revoke waivers of what is unknown."`
	Confirm  confirmCmd  `cmd:"" help:"Stand by an accepted exception of the submitted scan."`
	Flags    flagsCmd    `cmd:"" help:"List, check, import, export, kill and roll back flags."`
	Keys     keysCmd     `cmd:"" help:"Manage the keys of programs that read flags."`

	Setup setupCmd `cmd:"" help:"Show or test what the running server's configuration names."`

	Debts debtsCmd `cmd:"" help:"Show what runs have left on servers, and take it off."`

	Alerts        alertsCmd        `cmd:"" help:"Show open alerts, or acknowledge one."`
	Notifications notificationsCmd `cmd:"" help:"Show channels and open alerts, or test a channel."`
	Digest        digestCmd        `cmd:"" help:"Show the weekly digest, or send it now."`

	AuditLog auditLogCmd `cmd:"" help:"Show who did what: the audit log."`
	People   peopleCmd   `cmd:"" help:"Show who can sign in, and the keys of programs."`

	Audit    auditCmd    `cmd:"" help:"Audit a Redis that runs BullMQ."`
	Init     initCmd     `cmd:"" help:"Draft a configuration from the Redis that the queues are on."`
	Doctor   doctorCmd   `cmd:"" help:"Ask everything that a configuration names, and say what is missing."`
	Config   configCmd   `cmd:"" help:"Check a configuration file."`
	Conform  conformCmd  `cmd:"" help:"Check that an app keeps the contract of its journal and canaries."`
	Scan     scanCmd     `cmd:"" help:"Check in the source that producers fail fast."`
	Sentinel sentinelCmd `cmd:"" help:"Generate a Sentinel deployment, or check a running one."`
	Copy     copyCmd     `cmd:"" help:"Copy every key of a Redis database to another server."`
	Compare  compareCmd  `cmd:"" help:"Compare every key of two Redis databases."`
}

// shell is what a command is run with.
type shell struct {
	ctx            context.Context
	getenv         func(string) string
	stdout, stderr io.Writer
	asks           *asker // nil where nobody is at a terminal
}

// Main runs the command line of this process until it ends or is interrupted, and gives its exit
// code.
func Main() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return runIn(&shell{ctx, os.Getenv, os.Stdout, os.Stderr, atTerminal(os.Stdin, os.Stdout)},
		os.Args[1:])
}

func runIn(s *shell, args []string) int {
	stdout, stderr := s.stdout, s.stderr
	exited := -1
	parser, err := newParser(stdout, stderr, func(code int) { exited = code })
	if err != nil {
		_, _ = fmt.Fprintln(stderr, "switchyard:", err)
		return exitUsage
	}
	k, err := parser.Parse(args)
	if exited >= 0 {
		return exited
	}
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "switchyard: %v\nRun switchyard --help for usage.\n", err)
		return exitUsage
	}
	err = k.Run(s)
	if err == nil || errors.Is(err, context.Canceled) && s.ctx.Err() != nil {
		return 0
	}
	_, _ = fmt.Fprintln(stderr, "switchyard:", err)
	if migration.KindOf(err) == migration.Invalid {
		return exitUsage
	}
	return exitFailed
}

func newParser(stdout, stderr io.Writer, exit func(int)) (*kong.Kong, error) {
	return kong.New(&commands{},
		kong.Name("switchyard"),
		kong.Description(description),
		kong.Writers(stdout, stderr),
		kong.Exit(exit),
		kong.DefaultEnvars("SWITCHYARD"),
		kong.Vars{"providers": strings.Join(workflows.Providers(), ",")},
	)
}

type versionCmd struct{}

// Run prints the version.
func (versionCmd) Run(s *shell) error {
	_, err := fmt.Fprintln(s.stdout, "switchyard", version)
	return err
}
