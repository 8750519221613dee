package cli

import (
	"fmt"
	"io"
	"os"

	"github.com/switchyard-dev/switchyard/api"
	"github.com/switchyard-dev/switchyard/flags"
	"github.com/switchyard-dev/switchyard/migration"
)

type flagsCmd struct {
	List     flagsListCmd     `cmd:"" help:"List the flags of a set and what they serve."`
	History  flagsHistoryCmd  `cmd:"" help:"List revisions: who changed what, and why."`
	Export   flagsExportCmd   `cmd:"" help:"Print a set in flagd's flag definition format."`
	Check    flagsCheckCmd    `cmd:"" help:"Check a file in flagd's format, without a server."`
	Import   flagsImportCmd   `cmd:"" help:"Replace a set by a file, managed flags apart. Shows what changes; --dry-run stops there."`
	Kill     flagsKillCmd     `cmd:"" help:"Make a kill switch serve off to everybody."`
	Restore  flagsRestoreCmd  `cmd:"" help:"Make a kill switch serve on again."`
	Rollback flagsRollbackCmd `cmd:"" help:"Bring back what a revision said, managed flags apart."`
}

// inSet are the options of commands about one flag set.
type inSet struct {
	remote
	Set string `help:"Flag set. Default: the migration's own."`
}

type flagsListCmd struct{ inSet }

// Run lists the flags.
func (c flagsListCmd) Run(s *shell) error {
	client, mid, err := c.open(s)
	if err != nil {
		return err
	}
	v, err := client.FlagSet(s.ctx, mid, c.Set)
	if err != nil {
		return err
	}
	return c.print(s.stdout, v, func(w io.Writer) {
		_, _ = fmt.Fprintf(w, "set %s, revision %d\n\nFLAG\tSERVES\tTO\tREVISION\tBY\tWHY\n", v.ID, v.Revision)
		for _, f := range v.Flags {
			to := "everyone"
			if f.Targeted {
				to = "by targeting"
			}
			_, _ = fmt.Fprintf(w, "%s\t%v\t%s\t%d\t%s\t%s\n", f.Key, f.Value, to, f.Revision, f.Actor, f.Reason)
		}
	})
}

type flagsHistoryCmd struct {
	inSet
	Limit int `help:"How many at most." default:"20"`
}

// Run lists revisions.
func (c flagsHistoryCmd) Run(s *shell) error {
	client, mid, err := c.open(s)
	if err != nil {
		return err
	}
	all, err := client.FlagHistory(s.ctx, mid, c.Set, c.Limit)
	if err != nil {
		return err
	}
	return c.print(s.stdout, all, func(w io.Writer) {
		for _, r := range all {
			_, _ = fmt.Fprintf(w, "%d\t%s\t%s\t%s\n", r.Revision, r.At.Format("2006-01-02 15:04:05"), r.Actor, r.Reason)
			printChanges(w, r.Changes)
		}
	})
}

func printChanges(w io.Writer, all []migration.FlagDiff) {
	for _, d := range all {
		for _, l := range d.Lines {
			_, _ = fmt.Fprintf(w, "\t%s\t%s\n", d.Key, l)
		}
	}
}

type flagsExportCmd struct{ inSet }

// Run prints the document.
func (c flagsExportCmd) Run(s *shell) error {
	client, mid, err := c.open(s)
	if err != nil {
		return err
	}
	v, err := client.FlagSet(s.ctx, mid, c.Set)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.stdout, "%s\n", v.Definition)
	return err
}

type flagsCheckCmd struct {
	File string `arg:"" help:"File in flagd's format (JSON)." type:"path"`
}

// Run checks a file.
func (c flagsCheckCmd) Run(s *shell) error {
	raw, err := os.ReadFile(c.File)
	if err != nil {
		return migration.Errorf(migration.Invalid, "%w", err)
	}
	doc, err := flags.Parse(raw)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.stdout, "%d flags: no mistake found\n", len(doc.Flags))
	return err
}

type flagsImportCmd struct {
	inSet
	File   string `arg:"" help:"File in flagd's format (JSON)." type:"path"`
	Reason string `help:"Why, for the history." required:""`
	DryRun bool   `help:"Show what would change, and change nothing."`
}

// Run imports a file.
func (c flagsImportCmd) Run(s *shell) error {
	raw, err := os.ReadFile(c.File)
	if err != nil {
		return migration.Errorf(migration.Invalid, "%w", err)
	}
	if _, err := flags.Parse(raw); err != nil {
		return err
	}
	client, mid, err := c.open(s)
	if err != nil {
		return err
	}
	edit := migration.FlagEdit{Document: raw, Reason: c.Reason}
	check, err := client.CheckFlags(s.ctx, mid, c.Set, edit)
	if err != nil {
		return err
	}
	if c.DryRun {
		return c.print(s.stdout, check, func(w io.Writer) { printChanges(w, check.Changes) })
	}
	edit.Base = check.Base // what is shown is what is done
	r, err := client.EditFlags(s.ctx, mid, c.Set, edit)
	return c.revised(s, r, err)
}

// revised prints the revision that a change made.
func (c inSet) revised(s *shell, r migration.FlagSetRevision, err error) error {
	if err != nil {
		return err
	}
	return c.print(s.stdout, r, func(w io.Writer) {
		_, _ = fmt.Fprintf(w, "set %s is at revision %d\n", r.Set, r.Revision)
		printChanges(w, r.Changes)
	})
}

type killSwitch struct {
	inSet
	Key    string `arg:"" help:"The kill switch."`
	Reason string `help:"Why, for the history." required:""`
}

func (c killSwitch) set(s *shell, killed bool) error {
	client, mid, err := c.open(s)
	if err != nil {
		return err
	}
	r, err := client.KillFlag(s.ctx, mid, c.Set, api.FlagKill{Key: c.Key, Killed: killed, Reason: c.Reason})
	return c.revised(s, r, err)
}

type flagsKillCmd struct{ killSwitch }

// Run kills.
func (c flagsKillCmd) Run(s *shell) error { return c.set(s, true) }

type flagsRestoreCmd struct{ killSwitch }

// Run restores.
func (c flagsRestoreCmd) Run(s *shell) error { return c.set(s, false) }

type flagsRollbackCmd struct {
	inSet
	Revision int64  `arg:"" help:"The revision to go back to."`
	Reason   string `help:"Why, for the history." required:""`
}

// Run rolls back.
func (c flagsRollbackCmd) Run(s *shell) error {
	client, mid, err := c.open(s)
	if err != nil {
		return err
	}
	r, err := client.RollbackFlags(s.ctx, mid, c.Set, api.FlagRollback{Revision: c.Revision, Reason: c.Reason})
	return c.revised(s, r, err)
}

type keysCmd struct {
	List   keysListCmd   `cmd:"" help:"List the keys of programs that read flags."`
	Create keysCreateCmd `cmd:"" help:"Make a key and print its token, this once."`
	Revoke keysRevokeCmd `cmd:"" help:"End a key, at once."`
}

type keysListCmd struct{ remote }

// Run lists keys.
func (c keysListCmd) Run(s *shell) error {
	client, mid, err := c.open(s)
	if err != nil {
		return err
	}
	all, err := client.Keys(s.ctx, mid)
	if err != nil {
		return err
	}
	return c.print(s.stdout, all, func(w io.Writer) {
		_, _ = fmt.Fprintln(w, "ID\tNAME\tSET\tTOKEN\tA SECOND\tSTATE")
		for _, k := range all {
			state := "in use"
			if k.RevokedAt != nil {
				state = "revoked " + k.RevokedAt.Format("2006-01-02 15:04")
			}
			_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s…\t%d\t%s\n", k.ID, k.Name, k.Set, k.Prefix, k.RatePerSecond, state)
		}
	})
}

type keysCreateCmd struct {
	inSet
	Name string `arg:"" help:"Who will use it."`
	Rate int    `help:"Requests a second; 0 is no bound."`
}

// Run makes a key.
func (c keysCreateCmd) Run(s *shell) error {
	client, mid, err := c.open(s)
	if err != nil {
		return err
	}
	k, err := client.CreateKey(s.ctx, mid, api.NewKey{Set: c.Set, Name: c.Name, RatePerSecond: c.Rate})
	if err != nil {
		return err
	}
	return c.print(s.stdout, k, func(w io.Writer) { _, _ = fmt.Fprintln(w, k.Token) })
}

type keysRevokeCmd struct {
	remote
	ID string `arg:"" help:"The key's id."`
}

// Run ends a key.
func (c keysRevokeCmd) Run(s *shell) error {
	client, mid, err := c.open(s)
	if err != nil {
		return err
	}
	return client.RevokeKey(s.ctx, mid, c.ID)
}
