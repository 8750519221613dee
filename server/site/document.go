package site

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"regexp"
	"strings"
	"sync"

	"github.com/a-h/templ"
	"github.com/gofiber/fiber/v2"
	"github.com/klauspost/compress/flate"

	"github.com/switchyard-dev/switchyard/static"
)

// Pages are rendered with these in place of what is filled in afterwards. They are of this
// process and never leave it, so nothing that a page shows can hold one of them.
var (
	tokenHole = "token-" + rand.Text() // the token of who reads the page
	tagHole   = "tag-" + rand.Text()   // see tagOf
)

// packFrom is the size from which HTML is worth compressing.
const packFrom = 1 << 10

// document is HTML as it was rendered, with a hole wherever the token of its reader goes. One
// document serves many readers, so it is never changed.
type document struct {
	parts  [][]byte // what lies between the holes
	size   int      // of all parts
	tag    string   // stands for what a live page shows; empty: the page is not live
	packed func() [][]byte
}

// render writes to memory first, so that a failure half way does not leave half a page.
func render(ctx context.Context, page templ.Component) (*document, error) {
	var b bytes.Buffer
	if err := page.Render(ctx, &b); err != nil {
		return nil, err
	}
	html := b.Bytes()
	if bytes.IndexByte(html, 0) >= 0 { // as browsers read it; and filler stays without its like
		html = bytes.ReplaceAll(html, []byte{0}, []byte("\uFFFD"))
	}
	d := &document{}
	if bytes.Contains(html, []byte(tagHole)) {
		d.tag = tagOf(html)
		html = bytes.ReplaceAll(html, []byte(tagHole), []byte(d.tag))
	}
	d.parts = bytes.Split(html, []byte(tokenHole))
	for _, p := range d.parts {
		d.size += len(p)
	}
	d.packed = sync.OnceValue(func() [][]byte { return pack(d.parts) })
	return d, nil
}

// passing are the parts of a page that its script keeps true by itself.
var passing = regexp.MustCompile(`data-now="[^"]*"|data-(?:age|until)>[^<]*`)

// tagOf is the same for two renders of a live page that show the same. The time of the page and
// the ages in it, which its script keeps true by itself, do not count.
func tagOf(html []byte) string {
	if from := bytes.Index(html, []byte("<main")); bytes.HasPrefix(html, []byte("<!")) && from > 0 {
		html = html[from : bytes.LastIndex(html, []byte("</main>"))+len("</main>")]
	}
	sum := sha256.Sum256(passing.ReplaceAll(html, nil))
	return base64.RawURLEncoding.EncodeToString(sum[:12])
}

// send answers with the document as who asks may read it, or says that their page shows the same
// already.
func (d *document) send(c *fiber.Ctx) error {
	token := csrfToken(IdentityOf(c).Token)
	c.Vary("HX-Request", fiber.HeaderAcceptEncoding)
	if d.tag != "" && isFragment(c) {
		tag := `W/"` + d.tag + `"`
		c.Set(fiber.HeaderETag, tag)
		// The forms of a page may be of a session that has ended since.
		sameForms := len(d.parts) == 1 || c.Get(csrfHeader) == token
		if sameForms && c.Get(fiber.HeaderIfNoneMatch) == tag &&
			c.Response().StatusCode() == fiber.StatusOK {
			c.Status(fiber.StatusNotModified)
			return nil
		}
	}
	c.Set(fiber.HeaderContentType, fiber.MIMETextHTMLCharsetUTF8)
	if d.size < packFrom || !static.Accepts(c.Get(fiber.HeaderAcceptEncoding), "gzip") {
		return c.Send(bytes.Join(d.parts, []byte(token)))
	}
	c.Set(fiber.HeaderContentEncoding, "gzip")
	return c.Send(d.gzip(token))
}

// gzip fills the token into the compressed parts, as it is: it never goes through the compressor,
// so how long an answer is says nothing of it, whatever else the page repeats of the request
// (the attack called BREACH), and what was compressed once serves every reader. Brotli has no
// such seam, and saves a tenth more.
func (d *document) gzip(token string) []byte {
	packed, sum, size := d.packed(), uint32(0), 0
	b := make([]byte, 0, d.size/3+len(token)*len(packed))
	b = append(b, 0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255)
	add := func(plain []byte) {
		sum = crc32.Update(sum, crc32.IEEETable, plain)
		size += len(plain)
	}
	for i, part := range packed {
		if i > 0 {
			n := uint16(len(token)) //nolint:gosec // 43
			b = append(b, 0)        // a block that is stored
			b = binary.LittleEndian.AppendUint16(b, n)
			b = binary.LittleEndian.AppendUint16(b, ^n)
			b = append(b, token...)
			add([]byte(token))
		}
		b = append(b, part...)
		add(d.parts[i])
	}
	b = append(b, 1, 0, 0, 0xff, 0xff) // the last block, empty
	b = binary.LittleEndian.AppendUint32(b, sum)
	return binary.LittleEndian.AppendUint32(b, uint32(size)) // modulo 2^32, as defined
}

var packers = sync.Pool{New: func() any {
	w, err := flate.NewWriter(nil, 6)
	if err != nil { // only for a level that does not exist
		panic(err)
	}
	return w
}}

// filler takes the place of a token while the parts are compressed: what is behind a hole may
// repeat what is before it, at the right distance, and nothing repeats the hole.
var filler = bytes.Repeat([]byte{0}, len(csrfToken("")))

// pack compresses parts so that anything as long as filler can be put between them, stored.
func pack(parts [][]byte) [][]byte {
	w, _ := packers.Get().(*flate.Writer)
	defer packers.Put(w)
	var b bytes.Buffer
	w.Reset(&b)
	next := func(p []byte) []byte {
		b.Reset()
		_, _ = w.Write(p) // writing to memory does not fail
		_ = w.Flush()     // to a whole byte
		return bytes.Clone(b.Bytes())
	}
	packed := make([][]byte, len(parts))
	for i, p := range parts {
		if i > 0 {
			next(filler)
		}
		packed[i] = next(p)
	}
	return packed
}

// preferences are the cookies that a page may look different by.
func (s *Site) preferences(c *fiber.Ctx) string {
	var b strings.Builder
	for k, v := range c.Request().Header.Cookies() {
		if name := string(k); name != s.cookieName() && strings.HasPrefix(name, "switchyard_") {
			b.WriteString(name + "=" + string(v) + "\n")
		}
	}
	return b.String()
}
