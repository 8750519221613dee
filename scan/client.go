package scan

import (
	"cmp"
	"slices"

	"github.com/switchyard-dev/switchyard/scan/js"
)

// The kinds of client that a connection can be.
const (
	plain     = "plain"
	ioredis   = "ioredis"
	cluster   = "cluster"
	nodeRedis = "node-redis"
	noClient  = "none"
	anyClient = "unknown"
)

// client returns what kind of client a connection is, and its options.
func (sc *scanner) client(v *js.Value) (kind string, opts *js.Value) {
	switch v.Kind {
	case js.Object:
		return plain, v
	case js.Undefined, js.Null:
		return noClient, js.Undef
	case js.Unknown:
		return anyClient, v
	case js.Instance:
		of, args := v.Of, v.Args
		for of.Kind == js.ClassValue {
			base, up, why := sc.Super(of.Class, args)
			if why != "" {
				return anyClient, js.NotKnown(why)
			}
			of, args = base, up
		}
		if of.Kind != js.Import {
			break
		}
		switch {
		case of.Pkg == "ioredis" && of.Name == "Cluster":
			o := js.Undef
			if len(args) > 1 {
				o = args[1]
			}
			return cluster, o
		case of.Pkg == "ioredis" && slices.Contains([]string{"", "default", "Redis"}, of.Name):
			return ioredis, redisOptions(args, v.Over)
		case (of.Pkg == "redis" || of.Pkg == "@redis/client") && of.Name == "createClient":
			return nodeRedis, js.Undef
		}
	}
	return anyClient, js.NotKnown(cmp.Or(v.Why, "the connection is "+v.String()))
}

// redisOptions returns the options of new Redis(...): if there are several, ioredis
// takes each option from the first that has it.
func redisOptions(args []*js.Value, over *js.Value) *js.Value {
	o := js.Record(map[string]*js.Value{})
	for i, a := range args {
		address := a.Kind != js.Either || len(a.Any) > 0
		for _, one := range a.Each() {
			if one.Kind != js.Text && one.Kind != js.Number && one.Kind != js.Undefined &&
				one.Kind != js.Null {
				address = false
			}
		}
		// a port, a host, a URL: only those may precede the options
		if address || a.Kind == js.Unknown && i < len(args)-1 {
			continue
		}
		o = js.Spread(js.Spread(js.Record(map[string]*js.Value{}), a), o)
	}
	if over != nil {
		o = js.Spread(o, over)
	}
	return o
}
