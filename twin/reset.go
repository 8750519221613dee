package twin

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/switchyard-dev/switchyard/migration"
)

// home is the folder below which twins keep their data.
const home = ".switchyard"

// ResetAll ends what former runs left behind and removes their data: of one twin, when dir is
// its folder, else of every twin in dir. Folders outside .switchyard are refused.
func ResetAll(dir string, log *slog.Logger) error {
	if filepath.Base(dir) != home && filepath.Base(filepath.Dir(dir)) != home {
		return migration.Errorf(migration.Invalid,
			"%s is no twin's folder: give %s or a folder in it", dir, home)
	}
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(dir, "state.json")); err == nil {
		return Reset(dir, log)
	}
	for _, e := range entries {
		if err := Reset(filepath.Join(dir, e.Name()), log); err != nil {
			return err
		}
	}
	return os.RemoveAll(dir)
}
