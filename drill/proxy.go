package drill

import (
	"context"
	"strings"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// proxy stands between the app and the drill's server and fails as networks do.
type proxy struct{ p *toxiproxy.Proxy }

// newProxy listens on host:port; port 0 is one of the system's choice, kept from then on.
func newProxy(listen, upstream string) (proxy, error) {
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	p := proxy{toxiproxy.NewProxy(server, "drill", listen, upstream)}
	return p, p.p.Start()
}

func (p proxy) addr() string { return p.p.Listen }

// down closes every connection and refuses new ones; up takes them again, at the same
// address.
func (p proxy) down() { p.p.Stop() }

func (p proxy) up() error {
	p.p.Lock()
	enabled := p.p.Enabled
	p.p.Unlock()
	if enabled {
		return nil
	}
	return p.p.Start()
}

// swallow keeps connections open and lets nothing through, in either direction; new
// connections are taken and stay mute.
func (p proxy) swallow() error {
	return p.toxics(
		`{"name":"up","type":"timeout","stream":"upstream","attributes":{"timeout":0}}`,
		`{"name":"down","type":"timeout","stream":"downstream","attributes":{"timeout":0}}`)
}

// loseReplies lets requests through and closes the connection when the answer comes.
func (p proxy) loseReplies() error {
	return p.toxics(
		`{"name":"down","type":"limit_data","stream":"downstream","attributes":{"bytes":0}}`)
}

func (p proxy) toxics(each ...string) error {
	for _, t := range each {
		if _, err := p.p.Toxics.AddToxicJson(strings.NewReader(t)); err != nil {
			return err
		}
	}
	return nil
}

// clean lets everything through again.
func (p proxy) clean(ctx context.Context) { p.p.Toxics.ResetToxics(ctx) }
