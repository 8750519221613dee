// Package static holds the assets of the web pages: style, script, icons and font.
// Files are embedded, named after their content and compressed once, on first use, so
// that a browser may keep them for ever. It never reads the disk.
package static

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"path"
	"strings"
	"sync"

	"github.com/andybalholm/brotli"
)

//go:embed app.css app.js charts.js drafts.js flow.js frame.js headline.js palette.js times.js
//go:embed icons.svg logo.svg logo-attention.svg logo-incident.svg vendor
var files embed.FS

// Prefix is where the assets are served.
const Prefix = "/static/"

// Asset is one file as it goes over the wire.
type Asset struct {
	Type   string // media type
	Body   []byte
	brotli []byte
	gzip   []byte
}

// Encoded picks the smallest form that an Accept-Encoding header allows, and the
// Content-Encoding it has; "" means as it is.
func (a Asset) Encoded(accept string) (body []byte, encoding string) {
	for _, form := range []struct {
		name string
		body []byte
	}{{"br", a.brotli}, {"gzip", a.gzip}} {
		if form.body != nil && Accepts(accept, form.name) {
			return form.body, form.name
		}
	}
	return a.Body, ""
}

// Accepts reports whether an Accept-Encoding header names the encoding without refusing
// it (q=0).
func Accepts(header, encoding string) bool {
	for part := range strings.SplitSeq(header, ",") {
		name, q, _ := strings.Cut(strings.TrimSpace(part), ";")
		if strings.TrimSpace(name) == encoding {
			q = strings.ReplaceAll(q, " ", "")
			return q != "q=0" && !strings.HasPrefix(q, "q=0.0")
		}
	}
	return false
}

// URL is the address of an asset by its plain name, such as "app.css". An unknown name
// is a mistake in the program, so it panics.
func URL(name string) string {
	u, ok := build().urls[name]
	if !ok {
		panic("static: no asset " + name)
	}
	return u
}

// Find returns the asset at a path below Prefix.
func Find(hashed string) (Asset, bool) {
	a, ok := build().assets[hashed]
	return a, ok
}

type built struct {
	urls   map[string]string // plain name -> address
	assets map[string]Asset  // hashed name -> file
}

// build hashes and compresses on first use: a command that serves no page does not pay
// for it.
var build = sync.OnceValue(func() built {
	b := built{map[string]string{}, map[string]Asset{}}
	b.add("icons.svg", read("icons.svg"))
	for _, name := range []string{"logo.svg", "logo-attention.svg", "logo-incident.svg"} {
		b.add(name, read(name))
	}
	b.add("inter.woff2", read("vendor/inter-latin.woff2"))
	// One script: each further file costs a round trip before the page is live.
	b.add("core.js", bytes.Join([][]byte{read("vendor/htmx-4.0.1.min.js"),
		read("vendor/htmx-sse-4.0.1.min.js"), read("frame.js"), read("drafts.js"),
		read("app.js"), read("headline.js"), read("palette.js"), read("times.js"),
		read("flow.js"),
	}, []byte("\n")))
	// Only for pages that have charts.
	b.add("charts.js", bytes.Join([][]byte{read("vendor/uplot-1.6.32.iife.min.js"),
		read("charts.js")}, []byte("\n")))
	b.add("app.css", bytes.Join([][]byte{
		bytes.ReplaceAll(read("app.css"), []byte("inter.woff2"), []byte(b.urls["inter.woff2"])),
		[]byte("@layer base {"), read("vendor/uplot-1.6.32.min.css"), []byte("}"),
	}, []byte("\n")))
	return b
})

func read(name string) []byte {
	body, err := fs.ReadFile(files, name)
	if err != nil {
		panic(err) // the file is named in the embed directive above
	}
	return body
}

var types = map[string]string{
	".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8",
	".svg": "image/svg+xml", ".woff2": "font/woff2",
}

func (b *built) add(name string, body []byte) {
	sum := sha256.Sum256(body)
	ext := path.Ext(name)
	hashed := strings.TrimSuffix(name, ext) + "." + hex.EncodeToString(sum[:5]) + ext
	a := Asset{Type: types[ext], Body: body}
	if ext != ".woff2" { // already brotli inside
		a.brotli, a.gzip = compress(body)
	}
	b.urls[name] = Prefix + hashed
	b.assets[hashed] = a
}

func compress(body []byte) (br, gz []byte) {
	var b, g bytes.Buffer
	bw := brotli.NewWriterLevel(&b, 9) // level 11 takes ten times as long for 5 % less
	gw, _ := gzip.NewWriterLevel(&g, gzip.BestCompression)
	_, _ = bw.Write(body) // writing to memory does not fail
	_, _ = gw.Write(body)
	_, _ = bw.Close(), gw.Close()
	return b.Bytes(), g.Bytes()
}
