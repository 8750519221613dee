package audit

import (
	"crypto/tls"
	"time"
)

var checkEncryption = Check{
	ID:       "tls",
	Title:    "Encryption in transit",
	Severity: High,
	Limit:    "TLS on every connection that leaves the machine",
	Why: "Passwords and payment data cross the network in the clear; an eavesdropper can " +
		"read and reuse them.",
	Remedy: "tls-port with a certificate, port 0 once every client uses rediss://, " +
		"tls-replication yes.",
	Commands: []string{"the connection itself", "CONFIG GET port tls-port bind"},
	Denied:   "the connection itself",
	judge:    judgeEncryption,
}

func judgeEncryption(f *facts) outcome {
	plain, plainKnown := f.setting("port")
	where := f.listens()
	switch {
	case f.address == "":
		return unknown("%s", f.tlsErr)
	case f.tls == nil && f.tlsErr == "": // the audit itself connected without TLS
		switch {
		case where == "loopback":
			return ok("none, and it listens only on loopback")
		case !loopback(f.address):
			return problem("none: the audit itself reached %s in the clear", f.address)
		case where == "":
			return unknown("none on the connection to %s, which is this machine; where else "+
				"it listens is unknown", f.address)
		}
		return problem("none on port %s, which other machines can reach (bind %q)",
			f.config["port"],
			f.config["bind"])
	case !plainKnown:
		return unknown(
			"TLS on this connection; whether it also listens in the clear is unknown: %s",
			f.configErr)
	case plain != 0 && where != "loopback":
		return problem("TLS, but it also listens in the clear on port %d",
			plain).as(Medium).byDoing("port 0 in redis.conf once every client uses rediss://.")
	}
	return ok("TLS alone")
}

var checkCertificate = Check{
	ID:       "certificate",
	Title:    "Certificate",
	Severity: Critical,
	Limit:    "TLS 1.2 or later, more than 21 days left",
	Why: "Once it expires no new connection succeeds: producers answer 503, workers stop at " +
		"their next reconnect.",
	Remedy: "Renew and reload it (CONFIG SET tls-cert-file to the same path reloads it " +
		"without a restart).",
	Commands: []string{"TLS handshake"},
	Denied:   "TLS handshake",
	judge:    judgeCertificate,
}

func judgeCertificate(f *facts) outcome {
	switch {
	case f.tls == nil && f.tlsErr == "":
		return ok("no TLS, so no certificate")
	case f.tls == nil || len(f.tls.PeerCertificates) == 0:
		return unknown("%s", f.tlsErr)
	}
	left := time.Until(f.tls.PeerCertificates[0].NotAfter)
	days := int(left.Hours() / 24)
	switch {
	case f.tls.Version < tls.VersionTLS12:
		return problem("%s", tls.VersionName(f.tls.Version)).as(High).byDoing(
			"tls-protocols \"TLSv1.2 TLSv1.3\" in redis.conf.")
	case days < 7:
		return problem("it expires in %d days, %s", days,
			f.tls.PeerCertificates[0].NotAfter.UTC().Format("2 Jan 2006 15:04 UTC"))
	case days <= 21:
		return problem("it expires in %d days, %s", days,
			f.tls.PeerCertificates[0].NotAfter.UTC().Format("2 Jan 2006")).as(High)
	}
	return ok("%s, %d days left", tls.VersionName(f.tls.Version), days)
}
