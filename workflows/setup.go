package workflows

import (
	"cmp"
	"context"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/switchyard-dev/switchyard/config"
	"github.com/switchyard-dev/switchyard/doctor"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn"
	"github.com/switchyard-dev/switchyard/store"
	"github.com/switchyard-dev/switchyard/workflows/environment"
)

// Setup is what the parts of the configuration said when they were asked last. It is kept in the
// memory of the replica that asked.
type Setup struct {
	Parts    []SetupPart      `json:"parts"`
	Criteria []SetupCriterion `json:"criteria"`
	Secrets  []SecretKey      `json:"secrets"`
	// Test is under way.
	Test *SetupTest `json:"test,omitempty"`
	// Address is the last test of an address that is not configured.
	Address *AddressTest `json:"address,omitempty"`
}

// SetupPart is a part of the configuration that can be tested alone.
type SetupPart struct {
	ID       string         `json:"id"`
	Group    string         `json:"group"`
	Title    string         `json:"title"`
	Findings []SetupFinding `json:"findings,omitempty"`
	// AskedAt is when it was asked last, and AskedBy who wanted to know.
	AskedAt time.Time `json:"asked_at,omitzero"`
	AskedBy string    `json:"asked_by,omitempty"`
}

// SetupFinding is what was found, and which criteria of the plan cannot be met as it is.
type SetupFinding struct {
	doctor.Finding
	Criteria []string `json:"criteria,omitempty"`
}

// SetupCriterion is a criterion of the plan with the keys of the configuration that it lacks, as
// far as they were asked.
type SetupCriterion struct {
	ID      string   `json:"id"`
	Title   string   `json:"title"`
	Missing []string `json:"missing,omitempty"`
}

// SetupTest is a test under way.
type SetupTest struct {
	// Part is the one that is asked now.
	Part  string    `json:"part"`
	By    string    `json:"by"`
	Since time.Time `json:"since"`
}

// AddressTest is what a Redis said that is not configured.
type AddressTest struct {
	Findings []SetupFinding `json:"findings"`
	At       time.Time      `json:"at"`
	By       string         `json:"by"`
}

// What Setup is made of.
type (
	SetupState = doctor.State
	SecretKey  = config.SecretKey
)

// The states; see doctor.
const (
	SetupOK      = doctor.OK
	SetupFails   = doctor.Fails
	SetupAbsent  = doctor.Absent
	SetupUnknown = doctor.Unknown
)

// SetupLimit bounds a test of everything: servers that do not answer take time, each in turn.
const SetupLimit = 2 * time.Minute

// setup is what was asked, and what is being asked.
type setup struct {
	getenv func(string) string
	// spawn carries a test out beside the request for it, until Control closes.
	spawn func(test func(context.Context))
	tasks sync.WaitGroup

	probing sync.Mutex // an address

	mu      sync.Mutex
	asked   map[string]SetupPart // by id
	test    *SetupTest
	address *AddressTest
}

// Setup says what the parts of the configuration said last. It asks nothing.
func (c *Control) Setup(ctx context.Context, mid string) (Setup, error) {
	m, err := c.store.Migration(ctx, mid)
	if err != nil {
		return Setup{}, err
	}
	routing, err := c.env.Routing.Read(ctx, mid)
	if err != nil {
		return Setup{}, err
	}
	s := &c.setup
	s.mu.Lock()
	defer s.mu.Unlock()
	out := Setup{Secrets: c.cfg.Secrets()}
	if s.test != nil {
		test := *s.test
		out.Test = &test
	}
	var all []doctor.Finding
	for _, p := range doctor.Parts() {
		part := s.asked[p.ID]
		part.ID, part.Group, part.Title = p.ID, p.Group, p.Title
		part.Findings = withCriteria(m.Plan, left(routing, part.Findings))
		for _, f := range part.Findings {
			all = append(all, f.Finding)
		}
		out.Parts = append(out.Parts, part)
	}
	missing := doctor.Missing(m.Plan, all)
	for _, cr := range m.Plan.Criteria {
		out.Criteria = append(out.Criteria,
			SetupCriterion{ID: cr.ID, Title: cr.Title, Missing: missing[cr.ID]})
	}
	if s.address != nil {
		a := *s.address
		a.Findings = withCriteria(m.Plan, a.Findings)
		out.Address = &a
	}
	return out, nil
}

// left says of a source that was disconnected on purpose that nobody misses it.
func left(r migration.Routing, all []SetupFinding) []SetupFinding {
	out := slices.Clone(all)
	for i, f := range out {
		out[i].Finding = f.Unmissed(r)
	}
	return out
}

// RoutingOf reads where the jobs go, of the migration whose configuration this is, beside a
// server that may be running. NotFound: Switchyard has not kept anything yet.
func RoutingOf(ctx context.Context, cfg config.Config) (migration.Routing, error) {
	st, err := store.Look(ctx, cfg.Database().Reveal())
	if err != nil {
		return migration.Routing{}, err
	}
	defer func() { _ = st.Close() }()
	all, err := st.Migrations(ctx)
	if err == nil && len(all) == 0 {
		err = migration.Errorf(migration.NotFound, "there is no migration")
	}
	if err != nil {
		return migration.Routing{}, err
	}
	return environment.ReadRouting(ctx, st, all[0].ID, cfg.Queues)
}

// withCriteria copies findings and adds the criteria of the plan that each stands in the way of.
func withCriteria(p migration.Plan, all []SetupFinding) []SetupFinding {
	var out []SetupFinding
	for _, f := range all {
		f.Criteria = nil
		blocked := doctor.Missing(p, []doctor.Finding{f.Finding})
		for _, cr := range p.Criteria {
			if len(blocked[cr.ID]) > 0 {
				f.Criteria = append(f.Criteria, cr.ID)
			}
		}
		out = append(out, f)
	}
	return out
}

func found(all []doctor.Finding) []SetupFinding {
	var out []SetupFinding
	for _, f := range all {
		out = append(out, SetupFinding{Finding: f})
	}
	return out
}

// TestSetup begins to ask one part of the configuration, or without an id all of them, one after
// the other. It changes nothing outside. Engineers only; Conflict while another test is under
// way, NotFound for a part that there is not.
func (c *Control) TestSetup(
	ctx context.Context, a migration.Actor, mid, part string,
) (Setup, error) {
	subject, err := c.testSetup(ctx, a, mid, part)
	c.audit(ctx, a, "test", subject, "", err)
	if err != nil {
		return Setup{}, err
	}
	return c.Setup(ctx, mid)
}

func (c *Control) testSetup(
	ctx context.Context, a migration.Actor, mid, id string,
) (subject string, err error) {
	parts := doctor.Parts()
	subject = "set-up"
	if i := slices.IndexFunc(parts, func(p doctor.Part) bool { return p.ID == id }); i >= 0 {
		parts = parts[i : i+1]
		subject += ": " + parts[0].Title
	} else if id != "" {
		err = migration.Errorf(migration.NotFound, "the set-up has no part of that name")
	}
	if err := cmp.Or(engineer(a), c.known(ctx, mid), err); err != nil {
		return subject, err
	}
	s := &c.setup
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.test != nil {
		return subject, migration.Errorf(migration.Conflict,
			"a test by %s is under way since %s: wait for it, %s at most", s.test.By,
			s.test.Since.UTC().Format(time.TimeOnly), migration.Words(SetupLimit))
	}
	s.test = &SetupTest{Part: parts[0].ID, By: a.Name, Since: c.now()}
	s.spawn(func(ctx context.Context) { c.ask(ctx, parts, a.Name) })
	return subject, nil
}

// ask asks those parts and notes each answer as it comes.
func (c *Control) ask(ctx context.Context, parts []doctor.Part, by string) {
	ctx, cancel := context.WithTimeout(ctx, SetupLimit)
	defer cancel()
	s := &c.setup
	for _, p := range parts {
		s.mu.Lock()
		s.test.Part = p.ID
		s.mu.Unlock()
		c.notify("setup")
		findings := []doctor.Finding{{Key: p.ID, State: doctor.Unknown,
			Said: "not asked: the test was over after " + migration.Words(SetupLimit),
			Next: "Test it by itself."}}
		if ctx.Err() == nil {
			findings = p.Ask(ctx, c.cfg)
		}
		s.mu.Lock()
		s.asked[p.ID] = SetupPart{Findings: found(findings), AskedAt: c.now(), AskedBy: by}
		s.mu.Unlock()
	}
	s.mu.Lock()
	s.test = nil
	s.mu.Unlock()
	c.notify("setup")
}

// variable is the name of an environment variable.
var variable = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,99}$`)

// TestAddress asks a Redis that is not configured: given is its URL, or the name of the variable
// of the server's environment that holds it. Engineers only; Conflict while another one is asked.
// What was given is kept nowhere; the audit log names the host and the port.
func (c *Control) TestAddress(
	ctx context.Context, a migration.Actor, mid string, given migration.Secret,
) (AddressTest, error) {
	url, where, err := c.addressOf(given)
	test, err := c.testAddress(ctx, a, mid, url, err)
	c.audit(ctx, a, "test", where, "", err)
	return test, err
}

// addressOf gives the URL to ask, and what the audit log calls it.
func (c *Control) addressOf(given migration.Secret) (migration.Secret, string, error) {
	const nothing = "an address"
	text := strings.TrimSpace(given.Reveal())
	if name := strings.TrimPrefix(text, "env:"); variable.MatchString(name) {
		if text = c.setup.getenv(name); text == "" {
			// What was typed may be a password in the wrong place, so it is not repeated.
			return "", nothing, migration.Errorf(migration.Invalid,
				"this server's environment has no variable of that name: give one that it has, or "+
					"a URL like rediss://user:password@host:6379")
		}
	}
	url := migration.Secret(text)
	e := redisconn.Endpoint{Name: "to test", Kind: redisconn.Standalone, URL: url}
	if err := e.Validate(); err != nil {
		_, want, _ := strings.Cut(err.Error(), "expected ")
		return "", nothing, migration.Errorf(migration.Invalid,
			"give the name of a variable, or %s", want)
	}
	return url, e.Address(), nil
}

func (c *Control) testAddress(
	ctx context.Context, a migration.Actor, mid string, url migration.Secret, invalid error,
) (AddressTest, error) {
	m, err := c.store.Migration(ctx, mid)
	if err := cmp.Or(engineer(a), err, invalid); err != nil {
		return AddressTest{}, err
	}
	s := &c.setup
	if !s.probing.TryLock() {
		return AddressTest{}, migration.Errorf(migration.Conflict,
			"another address is being tested: try again in some seconds")
	}
	defer s.probing.Unlock()
	test := AddressTest{Findings: found(doctor.Address(ctx, url)), At: c.now(), By: a.Name}
	s.mu.Lock()
	s.address = &test
	s.mu.Unlock()
	c.notify("setup")
	test.Findings = withCriteria(m.Plan, test.Findings)
	return test, nil
}
