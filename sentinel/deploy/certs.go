package deploy

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"time"
)

// How long certificates are valid. Renewing a server's needs no restart: CONFIG SET
// tls-cert-file reloads it.
const (
	authorityYears   = 10
	certificateYears = 2
)

// Certificates makes the deployment's own certificate authority and one certificate
// per host (and one for all Kubernetes pods), signed by it. Every call makes new
// keys; a PlainText deployment needs none.
func Certificates(s Spec, now time.Time) ([]File, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	s = s.withDefaults()
	if s.PlainText {
		return nil, nil
	}
	authorityKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	authority := &x509.Certificate{SerialNumber: big.NewInt(1),
		Subject:   pkix.Name{CommonName: "Redis " + s.MasterName + " authority"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(authorityYears, 0, 0), IsCA: true,
		BasicConstraintsValid: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, authority, authority, authorityKey.Public(),
		authorityKey)
	if err != nil {
		return nil, err
	}
	ca := block("CERTIFICATE", der)
	key, err := x509.MarshalPKCS8PrivateKey(authorityKey)
	if err != nil {
		return nil, err
	}
	out := []File{{"tls/ca.crt", ca, false}, {"tls/ca.key", block("PRIVATE KEY", key), true}}
	issue := func(dir, name string, hosts []string) error {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return err
		}
		serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
		if err != nil {
			return err
		}
		c := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: name},
			NotBefore: authority.NotBefore, NotAfter: now.AddDate(certificateYears, 0, 0),
			KeyUsage: x509.KeyUsageDigitalSignature,
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth,
				x509.ExtKeyUsageClientAuth}}
		for _, h := range hosts {
			if ip := net.ParseIP(h); ip != nil {
				c.IPAddresses = append(c.IPAddresses, ip)
			} else {
				c.DNSNames = append(c.DNSNames, h)
			}
		}
		der, err := x509.CreateCertificate(rand.Reader, c, authority, key.Public(),
			authorityKey)
		if err != nil {
			return err
		}
		private, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			return err
		}
		out = append(out, File{dir + "/ca.crt", ca, false},
			File{dir + "/redis.crt", block("CERTIFICATE", der), false},
			File{dir + "/redis.key", block("PRIVATE KEY", private), true})
		return nil
	}
	for _, h := range s.Hosts {
		if err := issue("tls/"+h.Name, h.Name, []string{h.Address}); err != nil {
			return nil, fmt.Errorf("certificate of %s: %w", h.Name, err)
		}
	}
	pods := []string{fmt.Sprintf("*.redis.%s.svc.cluster.local", s.Namespace),
		fmt.Sprintf("*.sentinel.%s.svc.cluster.local", s.Namespace),
		fmt.Sprintf("redis.%s.svc.cluster.local", s.Namespace),
		fmt.Sprintf("sentinel.%s.svc.cluster.local", s.Namespace)}
	if err := issue("tls/kubernetes", "redis", pods); err != nil {
		return nil, fmt.Errorf("certificate of the pods: %w", err)
	}
	return out, nil
}

func block(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}
