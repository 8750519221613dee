package notify

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/textproto"
	"strconv"
	"time"

	"github.com/wneessen/go-mail"

	"github.com/switchyard-dev/switchyard/migration"
)

// Ways to protect the connection to a mail server.
const (
	StartTLS = "starttls" // on the ordinary port, and refused when the server does not offer it
	TLS      = "tls"      // from the first byte, usually port 465
	PlainTCP = "none"     // nothing: only for a server on this machine
)

// SMTP is a mail server and who writes to whom.
type SMTP struct {
	Addr     string // host:port
	Security string // StartTLS, TLS, PlainTCP
	Username string // empty: no sign-in
	Password migration.Secret
	From     string
	To       []string
	// TLSConfig is for servers whose certificate no public authority vouches for. Nil:
	// the system's.
	TLSConfig *tls.Config
}

type email struct {
	smtp SMTP
	host string
	port int
}

// NewEmail sends by SMTP.
func NewEmail(s SMTP) (Channel, error) {
	host, port, err := net.SplitHostPort(s.Addr)
	n, errPort := strconv.Atoi(port)
	if err != nil || errPort != nil || host == "" {
		return nil, migration.Errorf(migration.Invalid,
			"%q is not host:port of a mail server", s.Addr)
	}
	if s.Security == PlainTCP && !IsLoopback(host) {
		return nil, migration.Errorf(migration.Invalid,
			"a mail server that is not on this machine needs starttls or tls")
	}
	c := email{s, host, n}
	if _, err := c.message(Event{}); err != nil {
		return nil, migration.Errorf(migration.Invalid, "from and to must be e-mail addresses")
	}
	return c, nil
}

// message is an event as a mail. Mails about one thing are one thread; a repeat has the
// same Message-ID.
func (c email) message(e Event) (*mail.Msg, error) {
	e = e.Bounded()
	m := mail.NewMsg()
	if err := errors.Join(m.From(c.smtp.From), m.To(c.smtp.To...)); err != nil {
		return nil, err
	}
	m.Subject("[Switchyard] " + e.heading())
	m.SetDateWithValue(e.At)
	thread := "<" + digest(e.Key)[:32] + "@switchyard>"
	m.SetMessageIDWithValue(digest(e.ID)[:32] + "@switchyard")
	m.SetGenHeader(mail.HeaderReferences, thread)
	m.SetGenHeader(mail.HeaderInReplyTo, thread)
	// RFC 3834: so that no out-of-office note answers
	m.SetGenHeader("Auto-Submitted", "auto-generated")
	text := e.heading() + "\n\n" + e.Source + ", " + e.At.UTC().Format(time.RFC1123) + "\n"
	if e.Text != "" {
		text += "\n" + e.Text + "\n"
	}
	if e.URL != "" {
		text += "\n" + e.URL + "\n"
	}
	if e.Runbook != "" {
		text += "Runbook: " + e.Runbook + "\n"
	}
	m.SetBodyString(mail.TypeTextPlain, text)
	return m, nil
}

// Send implements Channel.
func (c email) Send(ctx context.Context, e Event) error {
	m, err := c.message(e)
	if err != nil {
		return failure("the message could not be written")
	}
	d := &net.Dialer{Timeout: Timeout, Control: dialControl(IsLoopback(c.host))}
	options := []mail.Option{mail.WithPort(c.port), mail.WithTimeout(Timeout)}
	conf := c.smtp.TLSConfig.Clone()
	if conf == nil {
		conf = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	if conf.ServerName == "" {
		conf.ServerName = c.host
	}
	options = append(options, mail.WithTLSConfig(conf))
	switch c.smtp.Security {
	case TLS:
		dial := &tls.Dialer{NetDialer: d, Config: conf}
		options = append(options, mail.WithSSL(), mail.WithDialContextFunc(dial.DialContext))
	case PlainTCP:
		options = append(options, mail.WithTLSPolicy(mail.NoTLS),
			mail.WithDialContextFunc(d.DialContext))
	default:
		options = append(options, mail.WithTLSPolicy(mail.TLSMandatory),
			mail.WithDialContextFunc(d.DialContext))
	}
	if c.smtp.Username != "" {
		options = append(options, mail.WithSMTPAuth(mail.SMTPAuthAutoDiscover),
			mail.WithUsername(c.smtp.Username), mail.WithPassword(c.smtp.Password.Reveal()))
	}
	client, err := mail.NewClient(c.host, options...)
	if err != nil {
		return failure("the mail client takes none of the settings")
	}
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	return hiding(smtpFailure(client.DialAndSendWithContext(ctx, m)), c.smtp.Password)
}

// smtpFailure says what went wrong without the server's own words.
func smtpFailure(err error) error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*mail.SendError](err); ok {
		if e.ErrorCode() != 0 {
			return failure("the mail server answered %d to the message or an address in it",
				e.ErrorCode())
		}
		return failure("the mail server did not take the message")
	}
	if e, ok := errors.AsType[*textproto.Error](err); ok {
		if e.Code == 535 || e.Code == 534 || e.Code == 530 {
			return failure(
				"the mail server does not let this user in (%d): look at username and password",
				e.Code)
		}
		return failure("the mail server answered %d", e.Code)
	}
	if _, ok := errors.AsType[net.Error](err); ok {
		return failure("%s", reason(err))
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return failure("the mail server's certificate is not valid")
	}
	return failure(
		"the dialogue with the mail server failed; it may offer no TLS, or no way to sign in")
}
