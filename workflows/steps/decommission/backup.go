package decommission

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/providers"
	"github.com/switchyard-dev/switchyard/redisconn/backup"
	"github.com/switchyard-dev/switchyard/workflows/engine"
	"github.com/switchyard-dev/switchyard/workflows/environment"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
)

func (s Parts) finalBackup(ctx context.Context, c *engine.Call) (any, error) {
	old, nodes, err := s.oldNodes(ctx, c)
	if err != nil {
		return nil, err
	}
	defer environment.CloseNodes(nodes)
	dir := filepath.Join(s.DataDir, "backups")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	for _, n := range nodes {
		if n.Address != old.Master {
			continue
		}
		facts, err := backup.Take(
			ctx,
			n.Client,
			backup.Options{Dir: dir, Name: "source-" + c.Run.ID, RedisServer: s.RedisServer,
				Progress: func(what string) { c.Progress("%s", what) }},
		)
		if err != nil {
			return nil, err
		}
		facts.File = filepath.Join("backups", facts.File)
		facts.NoSnapshot = s.noSnapshot()
		// the page shows it also when it is not good enough
		if err := c.Remember(ctx, facts); err != nil {
			return nil, err
		}
		c.Log(
			"%d keys of %s in %s, %d bytes, by %s, %d keys compared, %d differences",
			facts.Keys,
			n.Address,
			facts.File,
			facts.Bytes,
			facts.Method,
			facts.Compared,
			facts.Differences,
		)
		for _, why := range []string{facts.Why, facts.NotRestored} {
			if why != "" {
				c.Warn("the backup shows less than it could: %s", why)
			}
		}
		source := "the replication stream, restored into a scratch server and compared in both directions"
		switch {
		case !facts.Restored:
			source = "DUMP of every key, read back and compared by type; not restored into a server"
		case facts.Method == backup.Dump:
			source = "DUMP of every key, restored into a scratch server and compared in both directions"
		}
		return facts, c.Prove(ctx, evidence.Backup, migration.Observed, source, facts)
	}
	return nil, migration.Errorf(
		migration.Conflict,
		"the master %s is none of the old servers %v",
		old.Master,
		old.Address,
	)
}

// backupThere: the file that was verified is still in the data folder.
func (s Parts) backupThere(ctx context.Context, c *engine.Call) migration.Gate {
	claim := migration.Claim{
		ID:    "backup",
		Title: "The verified backup is there",
		Next:  "copy it back into the data folder, or cancel this run and start it again",
	}
	var facts evidence.BackupFacts
	ok, err := c.Output(ctx, "backup", &facts)
	if err != nil || !ok {
		claim.Measured = "none was taken"
		return claim.About("backup", "of this run", false, environment.Told(err))
	}
	claim.Limit = fmt.Sprintf("%s, %d bytes", facts.File, facts.Bytes)
	st, err := os.Stat(filepath.Join(s.DataDir, facts.File))
	switch {
	case err != nil:
		claim.Measured = facts.File + " is missing"
	case st.Size() != facts.Bytes:
		claim.Measured = fmt.Sprintf("%s has %d bytes", facts.File, st.Size())
	case !facts.Verified || facts.Differences > 0:
		claim.Measured = fmt.Sprintf("it differs from the source in %d keys", facts.Differences)
	default:
		claim.Measured = fmt.Sprintf("%d keys, sha256 %.12s…", facts.Keys, facts.SHA256)
		return claim.About("backup", facts.File, true, nil)
	}
	return claim.About("backup", facts.File, false, nil)
}

// kept is what the host has of the machines.
type kept struct {
	Taken []string `json:"taken"`
	// Without are machines of which there is none, each with why.
	Without []string `json:"without,omitempty"`
	// Short is what a machine without a snapshot leaves to be desired; see RunAction.Short.
	Short string `json:"short,omitempty"`
}

// all counts the machines.
func (k kept) all() int { return len(k.Taken) + len(k.Without) }

// short says how many snapshots there are of how many machines.
func (k kept) short() string {
	return fmt.Sprintf("%d of %s taken", len(k.Taken), migration.Count(k.all(), "snapshot"))
}

// snapshots asks the host for a snapshot of each machine at rest: the way back until the
// machine is deleted, and its snapshots with it. A machine of which the host takes none, such
// as one without a paid backup service, is no reason to stop as long as the verified backup
// is there, and that it is the only copy is said.
func (s Parts) snapshots(ctx context.Context, c *engine.Call) (any, error) {
	out := kept{Taken: []string{}}
	err := s.Host.Each(func(m providers.Machine) error {
		c.Progress("waiting for the snapshot of %s", m.Label)
		err := s.Host.Service.Snapshot(ctx, m, "switchyard-"+c.Run.ID)
		switch {
		case migration.KindOf(err) == migration.Blocked:
			out.Without = append(out.Without, fmt.Sprintf("%s: %v", m.Label, err))
			c.Warn("no snapshot of %s, so the backup file is the only copy: %v", m.Label, err)
			return nil
		case err != nil:
			return err
		}
		c.Log("the host has a snapshot of %s", m.Label)
		out.Taken = append(out.Taken, m.Label)
		return nil
	})
	if err != nil || len(out.Without) == 0 {
		return out, err
	}
	out.Short = out.short()
	if g := s.backupThere(ctx, c); !g.OK {
		return out, migration.Errorf(migration.Blocked, "%s: %s (%s)", g.Title, g.Measured, g.Next)
	}
	return out, nil
}
