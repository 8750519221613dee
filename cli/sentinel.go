package cli

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/config"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn"
	"github.com/switchyard-dev/switchyard/sentinel"
	"github.com/switchyard-dev/switchyard/sentinel/deploy"
)

const (
	envSentinel         = "SWITCHYARD_SENTINEL_URL"
	envSentinelPassword = "SWITCHYARD_SENTINEL_PASSWORD"
)

type sentinelCmd struct {
	Generate sentinelGenerateCmd `cmd:"" help:"Write the files of a Sentinel deployment: configuration, access lists, certificates, systemd, Compose, Kubernetes."`
	Check    sentinelCheckCmd    `cmd:"" help:"Would a failover work, and lose nothing? Fails when something is not ready. Changes nothing."`
}

// sentinelGenerateCmd writes a deployment. It prints no password.
type sentinelGenerateCmd struct {
	Out          string        `help:"Directory to write to; it must be empty or not there." required:"" type:"path" placeholder:"DIR"`
	Spec         string        `help:"The deployment as YAML (see docs/sentinel.md), instead of --host." type:"existingfile" placeholder:"FILE"`
	Host         []string      `help:"A host: NAME=ADDRESS,ZONE,ROLES. ROLES is master, replica and sentinel, joined by +." sep:"none" placeholder:"HOST"`
	MasterName   string        `help:"What the sentinels call the master." placeholder:"NAME"`
	Prefer       deploy.Prefer `help:"With one replica: go on without it (writes), or refuse what it cannot get (copies)." placeholder:"writes|copies"`
	MaxMemory    string        `help:"maxmemory of each data node." placeholder:"768mb"`
	PlainText    bool          `help:"No TLS: only where nobody else is on the network."`
	Placeholders bool          `help:"Write placeholders instead of random passwords, for a secret store to fill in."`
}

// Run writes the files.
func (c sentinelGenerateCmd) Run(s *shell) error {
	spec, err := c.spec()
	if err != nil {
		return err
	}
	if !c.Placeholders {
		spec.Secrets = deploy.Secrets{Admin: randomPassword(), App: randomPassword(), Replica: randomPassword(), Sentinel: randomPassword()}
	}
	files, err := deploy.Generate(spec)
	if err != nil {
		return err
	}
	certs, err := deploy.Certificates(spec, time.Now())
	if err != nil {
		return err
	}
	if entries, err := os.ReadDir(c.Out); err == nil && len(entries) > 0 {
		return migration.Errorf(migration.Invalid, "%s is not empty: new passwords and certificates would not fit servers that run with its old ones; give another directory", c.Out)
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return migration.Errorf(migration.Invalid, "--out: %w", err)
	}
	for _, f := range append(files, certs...) {
		if err := writeFile(c.Out, f); err != nil {
			return err
		}
		_, _ = fmt.Fprintln(s.stdout, f.Path)
	}
	_, err = fmt.Fprintf(s.stdout, "\nReplicas: %d, min-replicas-to-write %d, quorum %d of %d. Passwords are in secrets.env, not shown here. Read %s first.\n",
		spec.Replicas(), spec.MinReplicas(), spec.Quorum(), len(spec.SentinelHosts()), filepath.Join(c.Out, "README.md"))
	return err
}

func (c sentinelGenerateCmd) spec() (deploy.Spec, error) {
	if (c.Spec == "") == (len(c.Host) == 0) {
		return deploy.Spec{}, migration.Errorf(migration.Invalid, "give the hosts: --spec FILE, or --host once for each")
	}
	var spec deploy.Spec
	if c.Spec != "" {
		var err error
		if spec, err = readSpec(c.Spec); err != nil {
			return spec, err
		}
	}
	for _, text := range c.Host {
		name, rest, ok := strings.Cut(text, "=")
		parts := strings.Split(rest, ",")
		if !ok || len(parts) != 3 {
			return spec, migration.Errorf(migration.Invalid, "--host %s: expected NAME=ADDRESS,ZONE,ROLES, for example a=192.0.2.1,rack-1,master+sentinel", text)
		}
		h := deploy.Host{Name: name, Address: parts[0], Zone: parts[1]}
		for r := range strings.SplitSeq(parts[2], "+") {
			h.Roles = append(h.Roles, deploy.Role(r))
		}
		spec.Hosts = append(spec.Hosts, h)
	}
	for given, field := range map[string]*string{c.MasterName: &spec.MasterName, c.MaxMemory: &spec.MaxMemory} {
		if given != "" {
			*field = given
		}
	}
	if c.Prefer != "" {
		spec.Prefer = c.Prefer
	}
	spec.PlainText = spec.PlainText || c.PlainText
	return spec, nil
}

func readSpec(file string) (deploy.Spec, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return deploy.Spec{}, migration.Errorf(migration.Invalid, "--spec: %w", err)
	}
	return deploy.Parse(text)
}

// randomPassword has 130 bits.
func randomPassword() migration.Secret { return migration.Secret(rand.Text()) }

func writeFile(dir string, f deploy.File) error {
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

// sentinelCheckCmd looks at a running deployment.
type sentinelCheckCmd struct {
	URL            string `arg:"" optional:"" help:"redis+sentinel://user:password@host:26379,host:26379/mymaster. Default: SWITCHYARD_SENTINEL_URL, where nobody sees the password."`
	CA             string `name:"ca" help:"PEM file of the servers' certificate authority, for rediss+sentinel://." type:"path" placeholder:"FILE"`
	SentinelUser   string `help:"User on the sentinels, where it is another than on the data nodes; the password is read from SWITCHYARD_SENTINEL_PASSWORD." placeholder:"NAME"`
	NoSentinelAuth bool   `help:"The sentinels want no password."`
	Config         string `help:"Take the deployment from a configuration file of switchyard serve instead." type:"existingfile" placeholder:"FILE"`
	Spec           string `help:"The deployment's YAML file, for the failure domains." type:"existingfile" placeholder:"FILE"`
	JSON           bool   `name:"json" help:"Print JSON."`
}

// Run prints every check and fails when one does not hold.
func (c sentinelCheckCmd) Run(s *shell) error {
	e, zones, err := c.deployment(s)
	if err != nil {
		return err
	}
	cluster := sentinel.New(e)
	defer cluster.Close()
	cluster.Zones = zones
	checks, err := cluster.Readiness(s.ctx)
	if err != nil {
		return err
	}
	if err := printed(s.stdout, c.JSON, checks, func(w io.Writer) { printChecks(w, checks) }); err != nil {
		return err
	}
	if bad := migration.Failing(checks); len(bad) > 0 {
		return migration.Errorf(migration.Conflict, "%d of %d checks do not hold", len(bad), len(checks))
	}
	return nil
}

func (c sentinelCheckCmd) deployment(s *shell) (redisconn.Endpoint, map[string]string, error) {
	zones := map[string]string{}
	if c.Spec != "" {
		spec, err := readSpec(c.Spec)
		if err != nil {
			return redisconn.Endpoint{}, nil, err
		}
		zones = spec.Zones()
	}
	if c.Config != "" {
		cfg, err := config.Load(c.Config, s.getenv)
		if err != nil {
			return redisconn.Endpoint{}, nil, err
		}
		d := cfg.Source.Sentinel
		if len(d.Addrs) == 0 {
			return redisconn.Endpoint{}, nil, migration.Errorf(migration.Invalid, "%s configures no Sentinel deployment (source.sentinel.addrs)", c.Config)
		}
		if c.Spec == "" {
			zones = d.Zones()
		}
		return redisconn.Endpoint{Name: "sentinel", Kind: redisconn.Sentinel, SentinelAddrs: d.Addrs, MasterName: d.Master, Username: d.Username, Password: d.Password,
			SentinelUsername: d.SentinelUsername, SentinelPassword: d.SentinelPassword, CAFile: d.CAFile}, zones, nil
	}
	given := c.URL
	if given == "" {
		given = s.getenv(envSentinel)
	}
	if given == "" {
		return redisconn.Endpoint{}, nil, migration.Errorf(migration.Invalid, "no deployment: give its redis+sentinel:// URL as an argument or in %s, or --config", envSentinel)
	}
	e, err := redisconn.ParseSentinelURL(migration.Secret(given), c.CA)
	if err != nil {
		return e, nil, err
	}
	if p := s.getenv(envSentinelPassword); p != "" {
		e.SentinelUsername, e.SentinelPassword = c.SentinelUser, migration.Secret(p)
	} else if c.SentinelUser != "" {
		return e, nil, migration.Errorf(migration.Invalid, "--sentinel-user: its password is needed in %s", envSentinelPassword)
	}
	if c.NoSentinelAuth {
		e.SentinelUsername, e.SentinelPassword = "", ""
	}
	return e, zones, nil
}

func printChecks(w io.Writer, checks []sentinel.Check) {
	for _, ch := range checks {
		mark := "ok  "
		if !ch.OK {
			mark = "FAIL"
		}
		_, _ = fmt.Fprintf(w, "%s  %-18s %s: %s\n", mark, ch.ID, ch.Title, ch.Measured)
		if !ch.OK {
			_, _ = fmt.Fprintf(w, "      limit: %s\n      next:  %s\n", ch.Limit, ch.Next)
		}
	}
}
