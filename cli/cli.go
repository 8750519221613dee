// Package cli is the command line of Switchyard: one file per command, or per few that share their options. A command is
// its flags, calls of the API client or of the package that does the work, and what is printed.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/switchyard-dev/switchyard/migration"
)

// version is set by the build (-ldflags "-X …/cli.version=…").
var version = "dev"

// Exit codes: 1 the answer is no (an order lost, a criterion unmet), 2 the question was wrong (usage, configuration).
const (
	exitFailed = 1
	exitUsage  = 2
)

// Main runs the process' own command line until it ends or is interrupted, and returns its exit code.
func Main() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return Run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr)
}

// commands is the command line, as kong parses it.
type commands struct {
	Serve    serveCmd    `cmd:"" help:"Serve the pages, the API and the flags."`
	Twin     twinCmd     `cmd:"" help:"Run everything on this machine: a local estate of real Redis servers, order traffic and the server."`
	Rehearse rehearseCmd `cmd:"" help:"Run the whole migration unattended on a twin, through the public API, and report."`
	Plan     planCmd     `cmd:"" help:"Check a plan file, or print the embedded one."`
	Status   statusCmd   `cmd:"" help:"Show the criteria and what to do next."`
	Step     stepCmd     `cmd:"" help:"Plan or start a step."`
	Run      runCmd      `cmd:"" help:"Look at a run, approve, reject, cancel it or take it back."`
	Report   reportCmd   `cmd:"" help:"What would break if the source were left now. Fails when something blocks."`
	Replay   replayCmd   `cmd:"" help:"Fetch what a payment provider gave up on through its API, or read it from an export, and hand it to the app. Fails while any is left."`
	Outage   outageCmd   `cmd:"" help:"What the payment providers' retries mean for orders that are refused, now or in an outage of a length. Fails while orders are being lost."`
	Capacity capacityCmd `cmd:"" help:"What the servers cost by the month, and how much of the plan's limits the queues need. Fails when one is exceeded."`
	Export   exportCmd   `cmd:"" help:"Print the managed Redis as Terraform or as Helm values, for those who apply their changes by themselves."`
	Ledger   ledgerCmd   `cmd:"" help:"The order ledger: is any order lost, run twice, or not known. Fails unless it is clean."`
	Jobs     jobsCmd     `cmd:"" help:"Find a job on both sides."`
	Copy     copyCmd     `cmd:"" help:"Copy every key of a Redis database to another server. Needs no Switchyard server."`
	Compare  compareCmd  `cmd:"" help:"Compare every key of two Redis databases, values and expiry times. Fails when they differ."`
	Audit    auditCmd    `cmd:"" help:"Judge a Redis that runs BullMQ: settings, counters, keys. Fails from a severity on. Needs no Switchyard server."`
	Sentinel sentinelCmd `cmd:"" help:"Write a Sentinel deployment, or check a running one. Needs no Switchyard server."`
	Scan     scanCmd     `cmd:"" help:"Read an app's source: does every BullMQ producer fail at once when its Redis does. Fails unless all do. Needs no Switchyard server."`
	Flags    flagsCmd    `cmd:"" help:"Look at flags, check, import, export, kill and roll back."`
	Keys     keysCmd     `cmd:"" help:"Keys of programs that read flags."`
	Reset    resetCmd    `cmd:"" help:"Remove the twin's data."`
	Version  versionCmd  `cmd:"" help:"Print the version."`

	Notifications notificationsCmd `cmd:"" help:"Who is told of approvals, changes and alerts, and what is wrong now. Fails while a channel does."`
}

// shell is what a command is run with.
type shell struct {
	ctx            context.Context
	getenv         func(string) string
	stdout, stderr io.Writer
}

// Run is the program without the process around it: arguments and environment in, exit code out.
func Run(
	ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer,
) int {
	var c commands
	exited := -1
	parser, err := kong.New(&c, kong.Name("switchyard"), kong.Writers(stdout, stderr), kong.Exit(func(code int) { exited = code }),
		kong.Description("Takes BullMQ queues off a single Redis without losing or double-processing an order, and proves it."), kong.UsageOnError(),
		kong.DefaultEnvars("SWITCHYARD"))
	if err != nil {
		_, _ = fmt.Fprintln(stderr, "switchyard:", err)
		return exitUsage
	}
	k, err := parser.Parse(args)
	if exited >= 0 {
		return exited
	}
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "switchyard: %v\nRun switchyard --help for what there is.\n", err)
		return exitUsage
	}
	err = k.Run(&shell{ctx, getenv, stdout, stderr})
	switch {
	case err == nil, errors.Is(err, context.Canceled) && ctx.Err() != nil:
		return 0
	case migration.KindOf(err) == migration.Invalid:
		_, _ = fmt.Fprintln(stderr, "switchyard:", err)
		return exitUsage
	}
	_, _ = fmt.Fprintln(stderr, "switchyard:", err)
	return exitFailed
}

type versionCmd struct{}

// Run prints the version.
func (versionCmd) Run(s *shell) error {
	_, err := fmt.Fprintln(s.stdout, "switchyard", version)
	return err
}
