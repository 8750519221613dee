package deploy

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/switchyard-dev/switchyard/migration"
)

// ParseHost reads a host as an argument writes it: NAME=ADDRESS,ZONE,ROLES, with + between roles.
func ParseHost(text string) (Host, error) {
	name, rest, ok := strings.Cut(text, "=")
	parts := strings.Split(rest, ",")
	if !ok || len(parts) != 3 {
		return Host{}, migration.Errorf(migration.Invalid,
			"%s: expected NAME=ADDRESS,ZONE,ROLES, for example a=192.0.2.1,rack-1,master+sentinel",
			text)
	}
	h := Host{Name: name, Address: parts[0], Zone: parts[1]}
	for r := range strings.SplitSeq(parts[2], "+") {
		h.Roles = append(h.Roles, Role(r))
	}
	return h, nil
}

// RandomSecrets gives a password of 130 bits to each user.
func RandomSecrets() Secrets {
	password := func() migration.Secret { return migration.Secret(rand.Text()) }
	return Secrets{Admin: password(), App: password(), Replica: password(), Sentinel: password()}
}

// Write writes the files below a directory that is empty or does not exist. Only the owner can
// read the secret ones.
func Write(dir string, files []File) error {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return migration.Errorf(migration.Invalid, "%w", err)
	}
	if len(entries) > 0 {
		return migration.Errorf(migration.Invalid,
			"%s is not empty: servers that run with its passwords and certificates would reject "+
				"the new ones; choose another directory", dir)
	}
	for _, f := range files {
		if err := f.write(dir); err != nil {
			return err
		}
	}
	return nil
}

func (f File) write(dir string) error {
	file := filepath.Join(dir, filepath.FromSlash(f.Path))
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	mode := os.FileMode(0o644)
	if f.Secret {
		mode = 0o600
	}
	return os.WriteFile(file, f.Text, mode)
}
