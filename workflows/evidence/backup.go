package evidence

import (
	"errors"
	"fmt"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
)

// Backup is the id of the check of the final backup.
const Backup = "source-backup"

var backupCheck = New(Check{
	ID:     Backup,
	Title:  "Final backup",
	Limit:  "complete, and equal to the source when read back",
	Next:   "run the step Decommission",
	MaxAge: 7 * day,
	About:  []migration.Aspect{migration.AspectSource},
	Undone: true,
	Gone:   true,
}, coverBackup, judgeBackup)

// BackupFacts is the evidence of Backup.
type BackupFacts struct {
	File string `json:"file"` // name within the data folder
	// Method is replication for an RDB file, dump for a file of Switchyard's own; empty before
	// there were two.
	Method  string    `json:"method,omitempty"`
	Why     string    `json:"why,omitempty"` // it is not by replication
	TakenAt time.Time `json:"taken_at,omitzero"`
	Seconds float64   `json:"seconds,omitempty"` // to take and to verify it
	Keys    int64     `json:"keys"`
	Bytes   int64     `json:"bytes"`
	SHA256  string    `json:"sha256"`
	// Verified says that it was read back and compared with the server.
	Verified bool `json:"verified"`
	// Restored says that it was restored into a scratch server, which was compared.
	Restored    bool     `json:"restored,omitempty"`
	NotRestored string   `json:"not_restored,omitempty"` // why it was only read back
	Compared    int64    `json:"compared,omitempty"`     // keys
	Differences int      `json:"differences"`
	Examples    []string `json:"examples,omitempty"` // of differences
	// NoSnapshot says why the host keeps no snapshot of the machines, so that the file is all
	// that there will be. Empty: it may keep some.
	NoSnapshot string `json:"no_snapshot,omitempty"`
}

func coverBackup(f BackupFacts) migration.Coverage {
	c := migration.One("backup", f.File, migration.Truth(f.SHA256 != ""), "")
	if f.SHA256 != "" && f.Keys <= 0 {
		c.Members[0] = migration.Member{Key: "backup:empty", Name: "the source",
			Why: "it held no key: whether it was really empty, a person has to say"}
	}
	return c
}

func judgeBackup(f BackupFacts) (bool, string, error) {
	met, measured, err := f.judge()
	if met && f.NoSnapshot != "" {
		measured += "; the file is the only copy: " + f.NoSnapshot
	}
	return met, measured, err
}

func (f BackupFacts) judge() (bool, string, error) {
	switch {
	case f.SHA256 == "":
		return false, "", errors.New("no backup was written")
	case !f.Verified || f.Differences > 0:
		differs := fmt.Sprintf("the backup differs from the source in %d keys", f.Differences)
		if len(f.Examples) > 0 {
			differs += ": " + list(f.Examples)
		}
		return false, differs, nil
	case f.Restored:
		return true, fmt.Sprintf("%d keys in %s, restored into a scratch server and compared "+
			"with the source in both directions, 0 differences",
			f.Keys, f.File), nil
	case f.NotRestored != "":
		return true, fmt.Sprintf("%d keys in %s, read back and compared with the source, 0 "+
			"differences, but not restored into a server: %s",
			f.Keys, f.File, f.NotRestored), nil
	}
	return true, fmt.Sprintf("%d keys backed up to %s and compared with the source, 0 differences",
		f.Keys, f.File), nil
}
