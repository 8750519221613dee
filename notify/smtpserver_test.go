package notify

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"math/big"
	"net"
	"net/textproto"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
)

// smtpServer is a mail server that speaks the dialogue of RFC 5321 with STARTTLS and
// AUTH PLAIN.
type smtpServer struct {
	addr  string
	roots *x509.CertPool
	mu    sync.Mutex
	mails []string
	auth  []string
	plain bool // offers no STARTTLS
	full  bool // refuses every message, and repeats the credentials
}

func newSMTPServer(t *testing.T) *smtpServer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(time.Hour),
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA:                  true,
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, _ := x509.ParseCertificate(der)
	s := &smtpServer{roots: x509.NewCertPool()}
	s.roots.AddCert(cert)
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.addr = ln.Addr().String()
	var tasks sync.WaitGroup
	t.Cleanup(func() { _ = ln.Close(); tasks.Wait() })
	tasks.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			tasks.Go(func() {
				s.serve(conn,
					&tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der},
						PrivateKey: key}}, MinVersion: tls.VersionTLS12})
			})
		}
	})
	return s
}

func (s *smtpServer) serve(conn net.Conn, conf *tls.Config) {
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	say := func(line string) { _, _ = conn.Write([]byte(line + "\r\n")) }
	r := textproto.NewReader(bufio.NewReader(conn))
	say("220 mail.test ESMTP")
	secure := false
	for {
		line, err := r.ReadLine()
		if err != nil {
			return
		}
		verb, rest, _ := strings.Cut(line, " ")
		switch strings.ToUpper(verb) {
		case "EHLO":
			say("250-mail.test")
			switch {
			case secure:
				say("250-AUTH PLAIN")
			case !s.plain:
				say("250-STARTTLS")
			}
			say("250 8BITMIME")
		case "STARTTLS":
			say("220 go on")
			t := tls.Server(conn, conf)
			if t.HandshakeContext(context.Background()) != nil {
				return
			}
			conn, secure, r = t, true, textproto.NewReader(bufio.NewReader(t))
		case "AUTH":
			_, token, _ := strings.Cut(rest, " ")
			b, _ := base64.StdEncoding.DecodeString(token)
			s.mu.Lock()
			s.auth = append(s.auth, string(b))
			s.mu.Unlock()
			if !strings.HasSuffix(string(b), "\x00"+canary) {
				say("535 5.7.8 not with " + string(b))
				continue
			}
			say("235 ok")
		case "DATA":
			if s.full {
				say("452 no room for " + canary)
				continue
			}
			say("354 go on")
			b, err := r.ReadDotBytes()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.mails = append(s.mails, string(b))
			s.mu.Unlock()
			say("250 taken")
		case "QUIT":
			say("221 bye")
			return
		default:
			say("250 ok")
		}
	}
}

func (s *smtpServer) settings(password migration.Secret) SMTP {
	return SMTP{
		Addr:      s.addr,
		Security:  StartTLS,
		Username:  "switchyard",
		Password:  password,
		From:      "switchyard@example.com",
		To:        []string{"oncall@example.com", "lead@example.com"},
		TLSConfig: &tls.Config{RootCAs: s.roots, MinVersion: tls.VersionTLS12},
	}
}
