package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/switchyard-dev/switchyard/migration"
)

// dataDir says whether Switchyard can write where it keeps its data, by a file that is removed
// again; where the folder is not there yet, in the folder that it will be made in.
func (e examiner) dataDir(context.Context) []Finding {
	dir := e.DataDir
	for {
		info, err := os.Stat(dir)
		if err == nil && !info.IsDir() {
			return []Finding{{Key: "data_dir", State: Fails, Said: dir + " is no folder",
				Next: "Give another folder, or remove that file.", For: all}}
		}
		if err == nil {
			break
		}
		up := filepath.Dir(filepath.Clean(dir))
		if !errors.Is(err, os.ErrNotExist) || up == dir {
			return []Finding{failed("data_dir", err, "Give a folder of this user.", all...)}
		}
		dir = up
	}
	f, err := os.CreateTemp(dir, ".switchyard-*")
	if err != nil {
		return []Finding{{Key: "data_dir", State: Fails, Said: migration.PlainError(err),
			Next: "Give a folder that this user may write to.", For: all}}
	}
	_ = f.Close()
	if err := os.Remove(f.Name()); err != nil {
		return []Finding{failed("data_dir", err, "Remove the file.")}
	}
	if dir != e.DataDir {
		return []Finding{ok("data_dir", e.DataDir+" can be made")}
	}
	return []Finding{ok("data_dir", e.DataDir+" can be written to")}
}

// database says whether PostgreSQL lets us in.
func (e examiner) database(ctx context.Context) []Finding {
	url := e.Database().Reveal()
	if !strings.HasPrefix(url, "postgres://") && !strings.HasPrefix(url, "postgresql://") {
		return []Finding{ok("database_url", "a SQLite file: no server is needed")}
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	const next = "Check the address, the password and whether the database exists."
	c, err := pgx.Connect(ctx, url)
	if err != nil { // its text may hold the user and the host, and never the password
		return []Finding{{Key: "database_url", State: Fails,
			Said: "PostgreSQL does not let us in", Next: next, For: all}}
	}
	defer func() { _ = c.Close(ctx) }()
	var version string
	if err := c.QueryRow(ctx, "SHOW server_version").Scan(&version); err != nil {
		return []Finding{failed("database_url", err, next, all...)}
	}
	return []Finding{ok("database_url", "PostgreSQL "+version)}
}

// addresses says whether the addresses that are served at are free, or Switchyard's already.
func (e examiner) addresses(ctx context.Context) []Finding {
	out := []Finding{e.address(ctx, "addr", e.Addr)}
	if e.SyncAddr != "off" {
		out = append(out, e.address(ctx, "sync_addr", e.SyncAddr))
	}
	return out
}

func (e examiner) address(ctx context.Context, key, addr string) Finding {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err == nil {
		_ = ln.Close()
		return ok(key, addr+" is free")
	}
	if errors.Is(err, syscall.EADDRINUSE) {
		if e.serving(ctx) {
			return ok(key, "Switchyard serves at "+addr)
		}
		return Finding{Key: key, State: Fails, Said: "another program listens on " + addr,
			Next: "End it, or give another address.", For: all}
	}
	return Finding{Key: key, State: Fails, Said: migration.PlainError(err),
		Next: "Give an address of this machine.", For: all}
}

// serving reports whether a Switchyard answers at the address of the pages.
func (e examiner) serving(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+e.Addr+"/healthz", nil)
	if err != nil {
		return false
	}
	resp, err := e.http.Do(req)
	if err != nil {
		return false
	}
	return resp.Body.Close() == nil && resp.StatusCode == http.StatusOK
}

// redisServer says whether there is the program that drills fail.
func (e examiner) redisServer(ctx context.Context) []Finding {
	const key = "redis_server"
	needed := breaker
	name := cmp.Or(e.RedisServer, "redis-server")
	if name == "off" {
		return []Finding{{Key: key, State: Absent, Said: "off: a breaker drill cannot run",
			Next: "Install redis-server on this machine, and leave the key out.", For: needed}}
	}
	out, err := exec.CommandContext(ctx, name, "--version").Output()
	if err != nil {
		return []Finding{{Key: key, State: Fails, Said: fmt.Sprintf("%s does not run here", name),
			Next: "Install redis-server, or give where it is.", For: needed}}
	}
	version, _, _ := strings.Cut(strings.TrimSpace(string(out)), " sha")
	return []Finding{ok(key, version)}
}
