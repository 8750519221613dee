package flags

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// The last-known-good file: {"saved_at":…,"sha256":…,"set":{…}}, the checksum being that of the set's bytes as they stand in
// the file. Values carry their type, because JSON does not tell 1 from 1.0.

// maxFile bounds the file, in bytes; a larger one is not ours.
const maxFile = 8 << 20

var errNoFile = errors.New("no last known good file")

type file struct {
	SavedAt time.Time       `json:"saved_at"`
	SHA256  string          `json:"sha256"`
	Set     json.RawMessage `json:"set"`
}

type fileSet struct {
	Revision int64      `json:"revision"`
	Flags    []fileFlag `json:"flags"`
}

type fileFlag struct {
	Key      string `json:"key"`
	Type     string `json:"type"` // string, integer, boolean, float
	Value    string `json:"value"`
	Variant  string `json:"variant"`
	Revision int64  `json:"revision"`
}

// save replaces the file: written beside it, flushed to disk, then renamed, and the rename flushed too. A crash at any moment
// leaves the old or the new one whole.
func save(path string, set Set, now time.Time) error {
	if path == "" {
		return nil
	}
	out := fileSet{Revision: set.Revision}
	for _, f := range set.Flags {
		row := fileFlag{Key: f.Key, Variant: f.Variant, Revision: f.Revision}
		switch v := f.Value.(type) {
		case string:
			row.Type, row.Value = "string", v
		case int64:
			row.Type, row.Value = "integer", strconv.FormatInt(v, 10)
		case bool:
			row.Type, row.Value = "boolean", strconv.FormatBool(v)
		case float64:
			row.Type, row.Value = "float", strconv.FormatFloat(v, 'g', -1, 64)
		}
		out.Flags = append(out.Flags, row)
	}
	raw, err := json.Marshal(out)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(raw)
	data, err := json.Marshal(file{SavedAt: now, SHA256: hex.EncodeToString(sum[:]), Set: raw})
	if err != nil {
		return err
	}
	dir := filepath.Dir(path)
	tmp, err := os.CreateTemp(dir, filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = tmp.Write(data)
	if err == nil {
		err = tmp.Sync()
	}
	err = errors.Join(err, tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp.Name()))
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// load reads the file back. errNoFile means a first start.
func load(path string) (Set, time.Time, error) {
	if path == "" {
		return Set{}, time.Time{}, errNoFile
	}
	in, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Set{}, time.Time{}, errNoFile
	}
	if err != nil {
		return Set{}, time.Time{}, err
	}
	data, err := io.ReadAll(io.LimitReader(in, maxFile+1))
	if err = errors.Join(err, in.Close()); err != nil {
		return Set{}, time.Time{}, err
	}
	if len(data) > maxFile {
		return Set{}, time.Time{}, fmt.Errorf("the file is larger than %d bytes", maxFile)
	}
	return decodeFile(data)
}

func decodeFile(data []byte) (Set, time.Time, error) {
	var f file
	if err := json.Unmarshal(data, &f); err != nil {
		return Set{}, time.Time{}, fmt.Errorf("the file is damaged: %w", err)
	}
	sum := sha256.Sum256(f.Set)
	if !bytes.Equal([]byte(hex.EncodeToString(sum[:])), []byte(f.SHA256)) {
		return Set{}, time.Time{}, errors.New("the checksum does not match: the file is damaged or was edited")
	}
	var in fileSet
	if err := json.Unmarshal(f.Set, &in); err != nil {
		return Set{}, time.Time{}, fmt.Errorf("the file is damaged: %w", err)
	}
	set := Set{Revision: in.Revision}
	for _, row := range in.Flags {
		flag := Flag{Key: row.Key, Variant: row.Variant, Revision: row.Revision}
		var err error
		switch row.Type {
		case "string":
			flag.Value = row.Value
		case "integer":
			flag.Value, err = strconv.ParseInt(row.Value, 10, 64)
		case "boolean":
			flag.Value, err = strconv.ParseBool(row.Value)
		case "float":
			flag.Value, err = strconv.ParseFloat(row.Value, 64)
		default:
			err = fmt.Errorf("unknown type %q", row.Type)
		}
		if err != nil {
			return Set{}, time.Time{}, fmt.Errorf("flag %s: %w", row.Key, err)
		}
		set.Flags = append(set.Flags, flag)
	}
	return set, f.SavedAt, nil
}
