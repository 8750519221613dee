package cli

import (
	"os"
	"path/filepath"
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
	Generate sentinelGenerateCmd `cmd:"" help:"Write the files of a Sentinel deployment."`
	Check    sentinelCheckCmd    `cmd:"" help:"Check that a failover would work and lose nothing."`
}

// sentinelGenerateCmd writes a deployment. It prints no password.
type sentinelGenerateCmd struct {
	Out        string   `help:"Empty or new directory." required:"" type:"path" placeholder:"DIR"`
	Spec       string   `help:"The deployment as YAML." type:"existingfile" placeholder:"FILE"`
	Host       []string `help:"NAME=ADDRESS,ZONE,ROLES." sep:"none" placeholder:"HOST"`
	MasterName string   `help:"What the sentinels call the master." placeholder:"NAME"`
	MaxMemory  string   `help:"maxmemory of each data node." placeholder:"768mb"`
	PlainText  bool     `help:"No TLS: only where nobody else is on the network."`

	Prefer       deploy.Prefer `help:"What one replica gives up." placeholder:"writes|copies"`
	Placeholders bool          `help:"Write placeholders for a secret store instead of passwords."`
}

// Help tells how hosts are given, and what a single replica needs decided.
func (sentinelGenerateCmd) Help() string {
	return "Writes configuration, access lists, certificates, and files for systemd, Compose and " +
		"Kubernetes. Give --host for each host, such as a=192.0.2.1,rack-1,master+sentinel, or " +
		"--spec with a file as in docs/sentinel.md. Roles are master, replica and sentinel. With " +
		"one replica, --prefer writes goes on without it, and --prefer copies refuses writes " +
		"that it cannot get. Needs no Switchyard server."
}

// Run writes the files.
func (c sentinelGenerateCmd) Run(s *shell) error {
	spec, err := c.spec()
	if err != nil {
		return err
	}
	if !c.Placeholders {
		spec.Secrets = deploy.RandomSecrets()
	}
	files, err := deploy.Generate(spec)
	if err != nil {
		return err
	}
	certs, err := deploy.Certificates(spec, time.Now())
	if err != nil {
		return err
	}
	files = append(files, certs...)
	if err := deploy.Write(c.Out, files); err != nil {
		return migration.Errorf(migration.KindOf(err), "--out: %w", err)
	}
	return printed(s, false, nil, func(t table) {
		for _, f := range files {
			t.row("%s", f.Path)
		}
		t.row("\nReplicas: %d, min-replicas-to-write %d, quorum %d of %d. Passwords are in "+
			"secrets.env, not shown here. Read %s first.", spec.Replicas(), spec.MinReplicas(),
			spec.Quorum(), len(spec.SentinelHosts()), filepath.Join(c.Out, "README.md"))
	})
}

func (c sentinelGenerateCmd) spec() (deploy.Spec, error) {
	if (c.Spec == "") == (len(c.Host) == 0) {
		return deploy.Spec{}, migration.Errorf(migration.Invalid,
			"give the hosts: --spec FILE, or --host once for each")
	}
	var spec deploy.Spec
	if c.Spec != "" {
		var err error
		if spec, err = readSpec(c.Spec); err != nil {
			return spec, err
		}
	}
	for _, text := range c.Host {
		h, err := deploy.ParseHost(text)
		if err != nil {
			return spec, migration.Errorf(migration.KindOf(err), "--host %w", err)
		}
		spec.Hosts = append(spec.Hosts, h)
	}
	if c.MasterName != "" {
		spec.MasterName = c.MasterName
	}
	if c.MaxMemory != "" {
		spec.MaxMemory = c.MaxMemory
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

// sentinelCheckCmd looks at a running deployment.
type sentinelCheckCmd struct {
	URL            string `arg:"" optional:"" help:"URL. Default: SWITCHYARD_SENTINEL_URL."`
	CA             string `name:"ca" help:"CA certificate (PEM)." type:"path" placeholder:"FILE"`
	SentinelUser   string `help:"User on the sentinels." placeholder:"NAME"`
	NoSentinelAuth bool   `help:"The sentinels want no password."`
	Config         string `help:"Configuration to read." type:"existingfile" placeholder:"FILE"`
	Spec           string `help:"Deployment, for its zones." type:"existingfile" placeholder:"FILE"`
	JSON           bool   `name:"json" help:"Print JSON."`
}

// Help tells how the deployment and its passwords are given.
func (sentinelCheckCmd) Help() string {
	return "Fails when something is not ready, and changes nothing. Give the URL in " +
		"SWITCHYARD_SENTINEL_URL, where nobody sees the password: " +
		"redis+sentinel://user:password@host:26379,host:26379/mymaster, or rediss+sentinel:// " +
		"with --ca. Where the sentinels have another user or password than the data nodes, give " +
		"--sentinel-user and SWITCHYARD_SENTINEL_PASSWORD. --config takes all of it from the " +
		"configuration of switchyard serve instead. --spec is the file that the deployment was " +
		"generated from. Needs no Switchyard server."
}

// Run prints every check and fails when one does not hold.
func (c sentinelCheckCmd) Run(s *shell) error {
	cluster, err := c.deployment(s)
	if err != nil {
		return err
	}
	defer cluster.Close()
	checks, err := cluster.Readiness(s.ctx)
	if err != nil {
		return err
	}
	if err := printed(s, c.JSON, checks, func(t table) { writeChecks(t, checks) }); err != nil {
		return err
	}
	if bad := migration.Failing(checks); len(bad) > 0 {
		return migration.Errorf(migration.Conflict,
			"%d of %d checks failed", len(bad), len(checks))
	}
	return nil
}

func (c sentinelCheckCmd) deployment(s *shell) (*sentinel.Cluster, error) {
	zones := map[string]string{}
	if c.Spec != "" {
		spec, err := readSpec(c.Spec)
		if err != nil {
			return nil, err
		}
		zones = spec.Zones()
	}
	if c.Config == "" {
		e, err := c.endpoint(s)
		if err != nil {
			return nil, err
		}
		cluster := sentinel.New(e)
		cluster.Zones = zones
		return cluster, nil
	}
	cfg, err := config.Load(c.Config, s.getenv)
	if err != nil {
		return nil, err
	}
	d := cfg.Source.Sentinel
	if len(d.Addrs) == 0 {
		return nil, migration.Errorf(migration.Invalid,
			"%s configures no Sentinel deployment (source.sentinel.addrs)", c.Config)
	}
	if c.Spec == "" {
		zones = d.Zones()
	}
	cluster := sentinel.New(d.Endpoint())
	cluster.Zones, cluster.Followers = zones, cfg.Source.Followers()
	return cluster, nil
}

// endpoint reads the deployment from the arguments and the environment.
func (c sentinelCheckCmd) endpoint(s *shell) (redisconn.Endpoint, error) {
	given := c.URL
	if given == "" {
		given = s.getenv(envSentinel)
	}
	if given == "" {
		return redisconn.Endpoint{}, migration.Errorf(migration.Invalid,
			"no deployment: give its redis+sentinel:// URL as an argument or in %s, or --config",
			envSentinel)
	}
	e, err := redisconn.ParseSentinelURL(migration.Secret(given), c.CA)
	if err != nil {
		return e, err
	}
	if p := s.getenv(envSentinelPassword); p != "" {
		e.SentinelUsername, e.SentinelPassword = c.SentinelUser, migration.Secret(p)
	} else if c.SentinelUser != "" {
		return e, migration.Errorf(migration.Invalid,
			"--sentinel-user: its password is needed in %s", envSentinelPassword)
	}
	if c.NoSentinelAuth {
		e.SentinelUsername, e.SentinelPassword = "", ""
	}
	return e, nil
}

func writeChecks(t table, checks []sentinel.Check) {
	for _, ch := range checks {
		mark := "ok  "
		if !ch.OK {
			mark = "FAIL"
		}
		t.row("%s  %-18s %s: %s", mark, ch.ID, ch.Title, ch.Measured)
		if !ch.OK {
			t.row("      limit: %s\n      next:  %s", ch.Limit, ch.Next)
		}
	}
}
