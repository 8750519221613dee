package ofrep

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"hash"
	"hash/crc32"
	"strconv"
	"strings"

	"github.com/switchyard-dev/switchyard/flags"
	"github.com/switchyard-dev/switchyard/fleet"
	"github.com/switchyard-dev/switchyard/migration"
)

const (
	// ticketWindow is for how long all answers to a reader carry the same stream address,
	// so that a reader with an open stream keeps it. A ticket is good until the end of the
	// window after its own: 30 to 60 minutes.
	ticketWindow  = 30 * 60 // seconds
	ticketVersion = "1"
	// inactivityDelay tells readers when to let an unused stream go, in seconds.
	inactivityDelay = 120
)

// window is a period of ticketWindow in which a reader's answers are the same. It begins at
// another moment for each reader, so that not all of them get a new address at once.
type window struct {
	number, offset int64
	suffix         string // of entity tags in it, with the quote that ends them
}

func (f *streams) window(who fleet.Who) window {
	offset := int64(crc32.ChecksumIEEE([]byte(who.Service+who.Instance+who.Address))) % ticketWindow
	number := (f.now().Unix() + offset) / ticketWindow
	return window{number, offset, "~" + strconv.FormatInt(number, 36) + f.sealed}
}

// expires is the end of the next window, in Unix seconds.
func (w window) expires() int64 { return (w.number+2)*ticketWindow - w.offset }

// mark adds the window to an entity tag: a reader that comes with the tag of another window
// gets a whole answer with a new stream address. With 304 it would keep the old address for
// ever, also after that has expired.
func (w window) mark(etag string) string {
	if etag == "" || strings.Contains(etag, "~") {
		return etag
	}
	return strings.TrimSuffix(etag, `"`) + w.suffix
}

// strip takes the present window off the entity tags that a reader holds.
func (w window) strip(ifNoneMatch string) string {
	return strings.ReplaceAll(ifNoneMatch, w.suffix, `"`)
}

// ticket is what the address of a stream says: a browser cannot send headers with it.
type ticket struct {
	expires int64 // Unix seconds
	key     string
	who     fleet.Who // without key and Address, which are looked up
}

// advertise gives the eventStreams of an answer.
func (f *streams) advertise(r *flags.Reader, who fleet.Who, w window) []byte {
	f.topic(r.Set, false)
	b := make([]byte, 0, 384)
	b = append(b, `[{"type":"sse","endpoint":{"requestUri":"`+streamPath+`?token=`...)
	b = f.appendTicket(b, ticket{expires: w.expires(), key: r.ID, who: who})
	b = append(b, `"},"inactivityDelaySec":`...)
	return append(strconv.AppendInt(b, inactivityDelay, 10), "}]"...)
}

// appendTicket appends a signed ticket. Every whole answer to a worker holds one.
func (f *streams) appendTicket(b []byte, t ticket) []byte {
	var buffer [sha256.Size + 256]byte
	text := append(buffer[:sha256.Size], ticketVersion...)
	text = append(text, 0)
	text = strconv.AppendInt(text, t.expires, 36)
	for _, part := range [...]string{
		t.key, t.who.Set, t.who.Service, t.who.Instance, t.who.Version,
	} {
		text = append(append(text, 0), part...)
	}
	f.mac(text[:0], text[sha256.Size:])
	return base64.RawURLEncoding.AppendEncode(b, text)
}

// mac appends the code of a text to b.
func (f *streams) mac(b, text []byte) []byte {
	m, ok := f.macs.Get().(hash.Hash)
	if !ok {
		m = hmac.New(sha256.New, f.secret)
	}
	defer f.macs.Put(m)
	m.Reset()
	m.Write(text)
	return m.Sum(b)
}

// verify reads a ticket and finds its key, which must still be in force. Errors never hold
// the ticket.
func (f *streams) verify(token string) (ticket, *flags.Reader, error) {
	refused := migration.Errorf(migration.Unauthenticated, "the stream's address is wrong or "+
		"has expired: evaluate all flags again for a new one")
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(raw) <= sha256.Size {
		return ticket{}, nil, refused
	}
	text := string(raw[sha256.Size:])
	part := strings.Split(text, "\x00")
	if !hmac.Equal(raw[:sha256.Size], f.mac(nil, raw[sha256.Size:])) || len(part) != 7 ||
		part[0] != ticketVersion {
		return ticket{}, nil, refused
	}
	t := ticket{
		key: part[2],
		who: fleet.Who{Set: part[3], Service: part[4], Instance: part[5], Version: part[6]},
	}
	if t.expires, err = strconv.ParseInt(part[1], 36, 64); err != nil ||
		f.now().Unix() >= t.expires {
		return ticket{}, nil, refused
	}
	r, err := f.readers.Flags.Reader(t.key)
	if err != nil {
		return ticket{}, nil, err
	}
	if r.Set != t.who.Set {
		return ticket{}, nil, refused
	}
	return t, r, nil
}
