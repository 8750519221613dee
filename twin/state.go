package twin

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"math/big"
	mathrand "math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/webhooks"
)

// Account is somebody who can sign in to the twin's Switchyard.
type Account struct {
	Name     string         `json:"name"`
	Role     migration.Role `json:"role"`
	Password string         `json:"password"`
}

// state is what must be the same at the next start: ports, because configuration files
// and clients hold them, and secrets.
type state struct {
	Addr        string            `json:"addr"`
	Ports       map[string]int    `json:"ports"`
	Secrets     map[string]string `json:"secrets"`
	Accounts    []Account         `json:"accounts"`
	EventDate   string            `json:"event_date"`
	Initialised map[string]bool   `json:"initialised"` // servers whose configuration was written
	// Formed: the sentinels have found each other and the replicas once.
	Formed bool `json:"formed"`
	// Managed is where the managed Redis comes from.
	Managed string `json:"managed,omitempty"`
	// Machines and Vars are what a person did, where no API does: of machines that do not
	// run, whether they are off or gone, and of the app's variables those that were set.
	Machines map[string]string `json:"machines,omitempty"`
	Vars     map[string]string `json:"vars,omitempty"`
	path     string
	mu       sync.Mutex // over what changes while the twin runs: from Initialised on
}

// names of what has a port, and of the secrets.
var (
	portNames = []string{
		"linode", "node-1", "node-2", "node-3", "sentinel-1", "sentinel-2", "sentinel-3",
		"managed", "upstash", "linode-api", "heroku", "ingestion", "sync", "stripe-api",
		"ingestion-2", "shop", "journal",
	}
	secretNames = []string{
		"linode", "sentinel", "managed", "upstash", "linode-api", "heroku", "ingestion", "worker",
		"stripe-api", "journal",
	}
)

// webhookSecret names the secret that a provider signs with.
func webhookSecret(p webhooks.Sender) string {
	if p.ID == "stripe" {
		return "webhook" // it was the only one once
	}
	return "webhook-" + p.ID
}

// webhookSecrets gives what each provider signs with.
func (s *state) webhookSecrets() map[string]migration.Secret {
	secrets := map[string]migration.Secret{}
	for _, p := range webhooks.Senders() {
		secrets[p.ID] = migration.Secret(s.Secrets[webhookSecret(p)])
	}
	return secrets
}

func loadState(dir, addr string) (*state, error) {
	s := &state{path: filepath.Join(dir, "state.json")}
	text, err := os.ReadFile(s.path)
	switch {
	case err == nil:
		if err := json.Unmarshal(text, s); err != nil {
			return nil, fmt.Errorf("%s: %w", s.path, err)
		}
		if s.Managed == "" { // the state of a version that had no other
			s.Managed = ManagedUpstash
		}
		for _, name := range portNames { // the state of a version without it
			if s.Ports[name] != 0 {
				continue
			}
			ports, err := freePorts(1)
			if err != nil {
				return nil, err
			}
			s.Ports[name] = ports[0]
		}
	case errors.Is(err, os.ErrNotExist):
		s.Ports, s.Secrets, s.Initialised = map[string]int{}, map[string]string{}, map[string]bool{}
		s.EventDate = time.Now().AddDate(0, 0, 28).Format(time.DateOnly)
		ports, err := freePorts(len(portNames) + 1)
		if err != nil {
			return nil, err
		}
		for i, name := range portNames {
			s.Ports[name] = ports[i]
		}
		s.Addr = fmt.Sprintf("127.0.0.1:%d", ports[len(portNames)])
		s.Accounts = []Account{
			{"ada", migration.RoleEngineer, random(9)},
			{"grace", migration.RoleEngineer, random(9)},
			{"lee", migration.RoleViewer, random(9)},
		}
	default:
		return nil, err
	}
	names := slices.Clone(secretNames)
	for _, p := range webhooks.Senders() {
		names = append(names, webhookSecret(p))
	}
	for _, name := range names {
		if s.Secrets[name] == "" { // all at first, and those that an older version had not
			s.Secrets[name] = random(16)
		}
	}
	if addr != "" {
		s.Addr = addr
	}
	return s, s.save()
}

func (s *state) save() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return writeJSON(s.path, s)
}

func (s *state) initialised(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.Initialised[name]
}

func (s *state) setInitialised(name string, is bool) error {
	s.mu.Lock()
	s.Initialised[name] = is
	s.mu.Unlock()
	return s.save()
}

// machine gives what a person has made of a machine; "" when it runs.
func (s *state) machine(label string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.Machines[label]
}

func (s *state) setMachine(label, state string) error {
	s.mu.Lock()
	if s.Machines == nil {
		s.Machines = map[string]string{}
	}
	if s.Machines[label] = state; state == "" {
		delete(s.Machines, label)
	}
	s.mu.Unlock()
	return s.save()
}

// vars gives the app's variables that a person has set.
func (s *state) vars() map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.Vars)
}

func (s *state) setVar(name, value string) error {
	s.mu.Lock()
	if s.Vars == nil {
		s.Vars = map[string]string{}
	}
	if s.Vars[name] = value; value == "" {
		delete(s.Vars, name)
	}
	s.mu.Unlock()
	return s.save()
}

func (s *state) address(name string) string { return fmt.Sprintf("127.0.0.1:%d", s.Ports[name]) }

// checkFree refuses when another program took one of the twin's ports since the last run;
// it would answer in the twin's place. A killed program of several threads can hold its
// ports for a moment after it is gone from the process list.
func (s *state) checkFree(ctx context.Context, withAddr bool) error {
	addrs := map[string]string{}
	for name := range s.Ports {
		addrs[name] = s.address(name)
	}
	if withAddr {
		addrs["Switchyard"] = s.Addr
	}
	err := poll(ctx, 3*time.Second, "a port of the twin", func(context.Context) error {
		for name, addr := range addrs {
			if err := tryListen(addr); err != nil {
				return fmt.Errorf("%s cannot listen on %s: %w", name, addr, err)
			}
		}
		return nil
	})
	if err != nil && ctx.Err() == nil {
		return migration.Errorf(migration.Conflict,
			"%w; end the program that does, or forget this twin with make reset", err)
	}
	return err
}

func tryListen(addr string) error {
	l, err := net.Listen("tcp", addr) //nolint:noctx // at once
	if err != nil {
		return err
	}
	return l.Close()
}

// given are the ports that this process has handed out: two twins that start at once, each with
// dozens, would find the same one free now and then.
var given = struct {
	sync.Mutex
	ports map[int]bool
}{ports: map[int]bool{}}

// freePorts finds n ports that are free now and lie below those that the system gives to
// outgoing connections: one of these could hold a port at the moment when a server that
// was restarted wants it back.
func freePorts(n int) ([]int, error) {
	const lowest = 15_000
	below := 32_768 // Linux's default
	if text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range"); err == nil {
		if _, err := fmt.Sscan(string(text), &below); err != nil {
			return nil, fmt.Errorf("ip_local_port_range: %w", err)
		}
	}
	if below < lowest+1000 {
		below = 32_768 // an unusual range: better a port that may be taken than none
	}
	given.Lock()
	defer given.Unlock()
	var ports []int
	for range 100 * n {
		port := lowest + mathrand.IntN(below-lowest) //nolint:gosec // which port is no secret
		if !given.ports[port] && tryListen(fmt.Sprintf("127.0.0.1:%d", port)) == nil {
			ports, given.ports[port] = append(ports, port), true
		}
		if len(ports) == n {
			return ports, nil
		}
	}
	return nil, fmt.Errorf("only %d of %d free ports were found from %d to %d", len(ports), n,
		lowest, below-1)
}

func random(bytes int) string {
	b := make([]byte, bytes)
	_, _ = rand.Read(b) // never fails, by its documentation
	return hex.EncodeToString(b)
}

// certificates makes a certificate authority and a server certificate for loopback where
// they are missing, do not belong together or expire within a month, and gives their
// files.
func certificates(dir string) (ca, cert, key string, err error) {
	ca, cert = filepath.Join(dir, "ca.crt"), filepath.Join(dir, "server.crt")
	key = filepath.Join(dir, "server.key")
	if usable(ca, cert, key) {
		return ca, cert, key, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", "", "", err
	}
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", "", "", err
	}
	serverKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", "", "", err
	}
	from, until := time.Now().Add(-time.Hour), time.Now().AddDate(1, 0, 0)
	authority := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "twin authority"},
		NotBefore:             from,
		NotAfter:              until,
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	server := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: "twin managed Redis"},
		NotBefore:    from,
		NotAfter:     until,
		IPAddresses: []net.IP{
			net.IPv4(127, 0, 0, 1),
		},
		DNSNames:    []string{"localhost"},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	caDER, err := x509.CreateCertificate(rand.Reader, authority, authority, &caKey.PublicKey, caKey)
	if err != nil {
		return "", "", "", err
	}
	serverDER, err := x509.CreateCertificate(rand.Reader, server, authority, &serverKey.PublicKey,
		caKey)
	if err != nil {
		return "", "", "", err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(serverKey)
	if err != nil {
		return "", "", "", err
	}
	for file, block := range map[string]*pem.Block{
		ca:   {Type: "CERTIFICATE", Bytes: caDER},
		cert: {Type: "CERTIFICATE", Bytes: serverDER},
		key:  {Type: "PRIVATE KEY", Bytes: keyDER},
	} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			return "", "", "", err
		}
	}
	return ca, cert, key, nil
}

// usable reports whether the three files work together for at least another month.
func usable(ca, cert, key string) bool {
	authority, err := os.ReadFile(ca)
	if err != nil {
		return false
	}
	roots := x509.NewCertPool()
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil || !roots.AppendCertsFromPEM(authority) {
		return false
	}
	_, err = pair.Leaf.Verify(
		x509.VerifyOptions{
			DNSName:     "127.0.0.1",
			Roots:       roots,
			CurrentTime: time.Now().AddDate(0, 1, 0),
		},
	)
	return err == nil
}
