package cli

import (
	"os"
	"time"

	"github.com/switchyard-dev/switchyard/api"
	"github.com/switchyard-dev/switchyard/flags"
	"github.com/switchyard-dev/switchyard/migration"
)

type flagsCmd struct {
	List     flagsListCmd     `cmd:"" help:"List the flags of a set and what they serve."`
	History  flagsHistoryCmd  `cmd:"" help:"List revisions: who changed what, and why."`
	Export   flagsExportCmd   `cmd:"" help:"Print a set in flagd's flag definition format."`
	Check    flagsCheckCmd    `cmd:"" help:"Check a file in flagd's format, without a server."`
	Import   flagsImportCmd   `cmd:"" help:"Replace a set by a file, except for managed flags."`
	Kill     flagsKillCmd     `cmd:"" help:"Make a kill switch serve off to everybody."`
	Restore  flagsRestoreCmd  `cmd:"" help:"Make a kill switch serve on again."`
	Rollback flagsRollbackCmd `cmd:"" help:"Restore a revision, except for managed flags."`
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
	return c.print(s, v, func(t table) {
		t.row("set %s, revision %d\n", v.ID, v.Revision)
		t.row("FLAG\tSERVES\tTO\tREVISION\tBY\tWHY")
		for _, f := range v.Flags {
			to := "everyone"
			if f.Targeted {
				to = "by targeting"
			}
			t.row("%s\t%v\t%s\t%d\t%s\t%s", f.Key, f.Value, to, f.Revision, f.Actor, f.Reason)
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
	return c.print(s, all, func(t table) {
		for _, r := range all {
			t.row("%d\t%s\t%s\t%s", r.Revision, r.At.Format(time.DateTime), r.Actor, r.Reason)
			writeChanges(t, r.Changes)
		}
	})
}

func writeChanges(t table, all []migration.FlagDiff) {
	for _, d := range all {
		for _, l := range d.Lines {
			t.row("\t%s\t%s", d.Key, l)
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
	_, err = s.stdout.Write(append(v.Definition, '\n'))
	return err
}

type flagsCheckCmd struct {
	File string `arg:"" help:"File in flagd's format (JSON)." type:"path"`
}

// Run checks a file.
func (c flagsCheckCmd) Run(s *shell) error {
	_, doc, err := readFlags(c.File)
	if err != nil {
		return err
	}
	return printed(s, false, nil, func(t table) {
		t.row("%s: no mistake found", count(len(doc.Flags), "flag"))
	})
}

func readFlags(file string) ([]byte, *flags.Document, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, nil, migration.Errorf(migration.Invalid, "%w", err)
	}
	doc, err := flags.Parse(raw)
	return raw, doc, err
}

type flagsImportCmd struct {
	inSet
	File   string `arg:"" help:"File in flagd's format (JSON)." type:"path"`
	Reason string `help:"Why, for the history." required:""`
	DryRun bool   `help:"Show what would change, and change nothing."`
}

// Run imports a file.
func (c flagsImportCmd) Run(s *shell) error {
	raw, _, err := readFlags(c.File)
	if err != nil {
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
		return c.print(s, check, func(t table) { writeChanges(t, check.Changes) })
	}
	edit.Base = check.Base // so that only what is shown is done
	r, err := client.EditFlags(s.ctx, mid, c.Set, edit)
	return c.revised(s, r, err)
}

// revised prints the revision that a change made.
func (c inSet) revised(s *shell, r migration.FlagSetRevision, err error) error {
	if err != nil {
		return err
	}
	return c.print(s, r, func(t table) {
		t.row("set %s is at revision %d", r.Set, r.Revision)
		writeChanges(t, r.Changes)
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
	kill := api.FlagKill{Key: c.Key, Killed: killed, Reason: c.Reason}
	r, err := client.KillFlag(s.ctx, mid, c.Set, kill)
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
	Revision int64  `arg:"" help:"The revision to restore."`
	Reason   string `help:"Why, for the history." required:""`
}

// Run rolls back.
func (c flagsRollbackCmd) Run(s *shell) error {
	client, mid, err := c.open(s)
	if err != nil {
		return err
	}
	back := api.FlagRollback{Revision: c.Revision, Reason: c.Reason}
	r, err := client.RollbackFlags(s.ctx, mid, c.Set, back)
	return c.revised(s, r, err)
}

type keysCmd struct {
	List   keysListCmd   `cmd:"" help:"List the keys of programs that read flags."`
	Create keysCreateCmd `cmd:"" help:"Create a key and print its token, only this once."`
	Revoke keysRevokeCmd `cmd:"" help:"Revoke a key, at once."`
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
	return c.print(s, all, func(t table) {
		t.row("ID\tNAME\tSET\tTOKEN\tREQUESTS/S\tSTATE")
		for _, k := range all {
			state := "in use"
			if k.RevokedAt != nil {
				state = "revoked " + k.RevokedAt.Format("2006-01-02 15:04")
			}
			t.row("%s\t%s\t%s\t%s…\t%d\t%s",
				k.ID, k.Name, k.Set, k.Prefix, k.RatePerSecond, state)
		}
	})
}

type keysCreateCmd struct {
	inSet
	Name string `arg:"" help:"Who will use it."`
	Rate int    `help:"Rate limit in requests per second; 0 is unlimited."`
}

// Run creates a key.
func (c keysCreateCmd) Run(s *shell) error {
	client, mid, err := c.open(s)
	if err != nil {
		return err
	}
	key := api.NewKey{Set: c.Set, Name: c.Name, RatePerSecond: c.Rate}
	k, err := client.CreateKey(s.ctx, mid, key)
	if err != nil {
		return err
	}
	return c.print(s, k, func(t table) { t.row("%s", k.Token) })
}

type keysRevokeCmd struct {
	remote
	ID string `arg:"" help:"The key's id."`
}

// Run revokes a key.
func (c keysRevokeCmd) Run(s *shell) error {
	client, mid, err := c.open(s)
	if err != nil {
		return err
	}
	return client.RevokeKey(s.ctx, mid, c.ID)
}
