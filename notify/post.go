package notify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"syscall"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
)

const (
	maxAnswer = 64 << 10 // bytes of an answer that are read, and thrown away
	// maxWait bounds what Retry-After may ask for.
	maxWait = 15 * time.Minute
)

// poster sends JSON. It follows no redirect, reaches no link-local address (where
// clouds keep their machines' credentials), and this machine only where the configured
// address names it.
type poster struct{ client *http.Client }

func newPoster(address migration.Secret) (poster, error) {
	u, err := url.Parse(address.Reveal())
	if err != nil || u.Host == "" {
		// the error of Parse quotes it
		return poster{}, migration.Errorf(migration.Invalid, "a URL is needed")
	}
	local := IsLoopback(u.Hostname())
	if u.Scheme != "https" && (u.Scheme != "http" || !local) {
		return poster{}, migration.Errorf(migration.Invalid,
			"https is needed, except on this machine")
	}
	d := &net.Dialer{Timeout: Timeout, Control: dialControl(local)}
	return poster{&http.Client{
		Timeout: Timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		},
		Transport: &http.Transport{DialContext: d.DialContext, ForceAttemptHTTP2: true,
			TLSHandshakeTimeout: Timeout, ResponseHeaderTimeout: Timeout,
			MaxResponseHeaderBytes: maxAnswer,
			MaxIdleConns:           1, IdleConnTimeout: time.Minute},
	}}, nil
}

// IsLoopback reports whether a host is this machine by its very name.
func IsLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}

// dialControl judges the address that a name has led to, so that no name leads where it
// should not.
func dialControl(loopback bool) func(network, address string, _ syscall.RawConn) error {
	return func(_, address string, _ syscall.RawConn) error {
		at, err := netip.ParseAddrPort(address)
		if err != nil {
			return err
		}
		ip := at.Addr().Unmap()
		if ip.IsLinkLocalUnicast() || ip.IsUnspecified() || ip.IsMulticast() ||
			ip.IsLoopback() != loopback {
			return fmt.Errorf("%s is not an address that notifications are sent to", ip)
		}
		return nil
	}
}

// post sends body. Only an answer among want is a success; the answer's text is not
// looked at, nor told.
func (p poster) post(
	ctx context.Context, address migration.Secret, body []byte, header http.Header,
	want ...int,
) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address.Reveal(),
		bytes.NewReader(body))
	if err != nil {
		return failure("the URL is not one")
	}
	req.Header = header
	if req.Header == nil {
		req.Header = http.Header{}
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "switchyard")
	resp, err := p.client.Do(req)
	if err != nil {
		return failure("%s", reason(err))
	}
	defer func() { _ = resp.Body.Close() }()
	// so that the connection can be used again
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxAnswer))
	for _, status := range want {
		if resp.StatusCode == status {
			return nil
		}
	}
	f := failure("it answered %d %s%s", resp.StatusCode, http.StatusText(resp.StatusCode),
		hint(resp.StatusCode))
	if seconds, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && seconds > 0 {
		f.Wait = min(time.Duration(seconds)*time.Second, maxWait)
	}
	return f
}

func hint(status int) string {
	switch {
	case status >= 300 && status < 400:
		return ": redirects are not followed; configure the address that it leads to"
	case status == http.StatusBadRequest:
		return ": it does not take the message, or the key in it"
	case status == http.StatusUnauthorized, status == http.StatusForbidden,
		status == http.StatusNotFound, status == http.StatusGone:
		return ": look at the configured address and key"
	case status == http.StatusTooManyRequests:
		return ": it asks to be sent less"
	}
	return ""
}

// reason is what went wrong on the way. An error of net/http quotes the URL, which may
// be the credential itself; what it wraps does not.
func reason(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return "it did not answer within " + migration.Words(Timeout)
	}
	if e, ok := errors.AsType[*url.Error](err); ok {
		if e.Timeout() {
			return "it did not answer within " + migration.Words(Timeout)
		}
		return reason(e.Err)
	}
	return migration.PlainError(err)
}
