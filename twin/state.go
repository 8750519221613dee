package twin

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
)

// Account is somebody who can sign in to the twin's Switchyard.
type Account struct {
	Name     string         `json:"name"`
	Role     migration.Role `json:"role"`
	Password string         `json:"password"`
}

// state is what must be the same at the next start: ports, because configuration files and clients hold them, and secrets.
type state struct {
	Addr        string            `json:"addr"`
	Ports       map[string]int    `json:"ports"`
	Secrets     map[string]string `json:"secrets"`
	Accounts    []Account         `json:"accounts"`
	EventDate   string            `json:"event_date"`
	Initialised map[string]bool   `json:"initialised"` // servers whose configuration file was written
	path        string
}

// names of what has a port, and of the secrets.
var (
	portNames   = []string{"linode", "node-1", "node-2", "node-3", "sentinel-1", "sentinel-2", "sentinel-3", "managed", "upstash", "linode-api", "heroku", "ingestion"}
	secretNames = []string{"linode", "sentinel", "upstash", "linode-api", "heroku", "ingestion", "worker", "webhook"}
)

func loadState(dir, addr string) (*state, error) {
	s := &state{path: filepath.Join(dir, "state.json")}
	text, err := os.ReadFile(s.path)
	switch {
	case err == nil:
		if err := json.Unmarshal(text, s); err != nil {
			return nil, fmt.Errorf("%s: %w", s.path, err)
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
		for _, name := range secretNames {
			s.Secrets[name] = random(16)
		}
		s.Addr = fmt.Sprintf("127.0.0.1:%d", ports[len(portNames)])
		s.Accounts = []Account{{"ada", migration.RoleEngineer, random(9)}, {"grace", migration.RoleEngineer, random(9)}, {"lee", migration.RoleViewer, random(9)}}
	default:
		return nil, err
	}
	if addr != "" {
		s.Addr = addr
	}
	return s, s.save()
}

func (s *state) save() error { return writeJSON(s.path, s) }

func (s *state) address(name string) string { return fmt.Sprintf("127.0.0.1:%d", s.Ports[name]) }

// freePorts finds n ports that are free now, all held open until the last is found so that none comes twice.
func freePorts(n int) ([]int, error) {
	var ports []int
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // at once
		if err != nil {
			return nil, err
		}
		defer func() { _ = l.Close() }()
		addr, ok := l.Addr().(*net.TCPAddr)
		if !ok {
			return nil, fmt.Errorf("unexpected address %v", l.Addr())
		}
		ports = append(ports, addr.Port)
	}
	return ports, nil
}

func random(bytes int) string {
	b := make([]byte, bytes)
	_, _ = rand.Read(b) // never fails, by its documentation
	return hex.EncodeToString(b)
}

// certificates makes a certificate authority and a server certificate for loopback where they are missing or expire within a month, and
// gives their files.
func certificates(dir string) (ca, cert, key string, err error) {
	ca, cert, key = filepath.Join(dir, "ca.crt"), filepath.Join(dir, "server.crt"), filepath.Join(dir, "server.key")
	if text, err := os.ReadFile(cert); err == nil {
		if block, _ := pem.Decode(text); block != nil {
			if c, err := x509.ParseCertificate(block.Bytes); err == nil && time.Until(c.NotAfter) > 30*24*time.Hour {
				return ca, cert, key, nil
			}
		}
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
	authority := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "twin authority"}, NotBefore: from, NotAfter: until, IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	server := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "twin managed Redis"}, NotBefore: from, NotAfter: until,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	caDER, err := x509.CreateCertificate(rand.Reader, authority, authority, &caKey.PublicKey, caKey)
	if err != nil {
		return "", "", "", err
	}
	serverDER, err := x509.CreateCertificate(rand.Reader, server, authority, &serverKey.PublicKey, caKey)
	if err != nil {
		return "", "", "", err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(serverKey)
	if err != nil {
		return "", "", "", err
	}
	for file, block := range map[string]*pem.Block{ca: {Type: "CERTIFICATE", Bytes: caDER}, cert: {Type: "CERTIFICATE", Bytes: serverDER}, key: {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			return "", "", "", err
		}
	}
	return ca, cert, key, nil
}
