package static

import (
	"bytes"
	"compress/gzip"
	"io"
	"strings"
	"testing"

	"github.com/andybalholm/brotli"
)

func TestAssetsAreNamedAfterTheirContentAndSurviveCompression(t *testing.T) {
	t.Parallel()
	for name, u := range build().urls {
		a, ok := Find(strings.TrimPrefix(u, Prefix))
		if !ok || a.Type == "" || len(a.Body) == 0 || u == Prefix+name {
			t.Fatalf("%s at %s: found %v, type %q, %d bytes", name, u, ok, a.Type, len(a.Body))
		}
		for accept, open := range map[string]func(io.Reader) (io.Reader, error){
			"br":   func(r io.Reader) (io.Reader, error) { return brotli.NewReader(r), nil },
			"gzip": func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) },
		} {
			body, encoding := a.Encoded(accept)
			if encoding == "" {
				continue // a font is compressed already
			}
			r, err := open(bytes.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			plain, err := io.ReadAll(r)
			if err != nil || !bytes.Equal(plain, a.Body) || len(body) >= len(a.Body) {
				t.Errorf("%s as %s: %d of %d bytes, %v", name, encoding, len(body),
					len(a.Body), err)
			}
		}
	}
}

func TestEncodingFollowsWhatTheBrowserAccepts(t *testing.T) {
	t.Parallel()
	a, _ := Find(strings.TrimPrefix(URL("app.css"), Prefix))
	for accept, want := range map[string]string{
		"": "", "identity": "", "gzip": "gzip", "gzip, deflate, br": "br",
		"br;q=0, gzip;q=0.8": "gzip", "br ; q=0.0": "", "gzip;q=1.0": "gzip",
	} {
		if _, got := a.Encoded(accept); got != want {
			t.Errorf("Accept-Encoding %q gives %q, want %q", accept, got, want)
		}
	}
}

func TestStyleNamesTheFontByItsHashedAddress(t *testing.T) {
	t.Parallel()
	a, _ := Find(strings.TrimPrefix(URL("app.css"), Prefix))
	if !bytes.Contains(a.Body, []byte("url("+URL("inter.woff2")+")")) {
		t.Error("the style does not refer to the font that is served")
	}
}
