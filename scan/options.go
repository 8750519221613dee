package scan

import (
	"fmt"
	"math"
	"strconv"

	"github.com/switchyard-dev/switchyard/scan/js"
)

// Limits of the options. Shopify gives a webhook five seconds in all (docs, 2026),
// so a rejection must come sooner; BullMQ's own strategy waits up to 20 s between
// attempts, and still rejected jobs 18 s after Redis was back (measured).
const (
	maxCommandTimeout = 4500 // ms
	maxConnectTimeout = 5000 // ms
	maxRetries        = 1
	maxRetryDelay     = 2000 // ioredis's own default, in ms
)

// option is one requirement on a construction.
type option struct {
	name, place, needs, why, snippet string
	test                             func(p *js.Program, v *js.Value,
		client string) (state, string)
}

// The reasons were measured with bullmq 5.81.5 and 6.7.0 on real servers.
var producerOptions = []option{
	{
		name:    "enableOfflineQueue",
		place:   "connection",
		needs:   "false",
		why:     "while Redis is gone, add() waits in memory instead of failing",
		snippet: "enableOfflineQueue: false",
		test:    isBool(false),
	},
	{
		name:    "commandTimeout",
		place:   "connection",
		needs:   "1 to 4500 ms",
		why:     "on a frozen or unreachable Redis, add() hangs",
		snippet: "commandTimeout: 2000",
		test:    within(1, maxCommandTimeout),
	},
	{
		name:    "maxRetriesPerRequest",
		place:   "connection",
		needs:   "0 or 1",
		why:     "an add() whose reply is lost is sent again and again, and may create two jobs",
		snippet: "maxRetriesPerRequest: 1",
		test:    within(0, maxRetries),
	},
	{
		name:    "connectTimeout",
		place:   "connection",
		needs:   "1 to 5000 ms",
		why:     "after an outage each attempt at an unreachable address takes 10 s",
		snippet: "connectTimeout: 2000",
		test:    within(1, maxConnectTimeout),
	},
	{
		name:  "retryStrategy",
		place: "connection",
		needs: "at most 2000 ms between attempts, forever",
		why: "BullMQ waits up to 20 s between attempts: it keeps rejecting jobs long after " +
			"Redis is back",
		snippet: "retryStrategy: (n) => Math.min(n * 200, 1000)",
		test:    retries,
	},
	{
		name:    "autoResendUnfulfilledCommands",
		place:   "connection",
		needs:   "not false",
		why:     "an add() in flight when the connection breaks never returns",
		snippet: "autoResendUnfulfilledCommands: true",
		test:    notFalse,
	},
	{
		name:    "skipWaitingForReady",
		place:   "queue",
		needs:   "true",
		why:     "a process that starts while Redis is down hangs in its first add()",
		snippet: "skipWaitingForReady: true",
		test:    isBool(true),
	},
	{
		name:  "skipVersionCheck",
		place: "queue",
		needs: "true",
		why: "with skipWaitingForReady alone, a process that started while Redis was down " +
			"rejects jobs forever, even after Redis is back",
		snippet: "skipVersionCheck: true",
		test:    isBool(true),
	},
}

func isBool(want bool) func(*js.Program, *js.Value, string) (state, string) {
	return func(_ *js.Program, v *js.Value, _ string) (state, string) {
		switch v.Kind {
		case js.Undefined:
			return missing, "not set"
		case js.Boolean:
			if v.Opaque {
				return unsure, v.String()
			}
			if v.Bool == want {
				return good, strconv.FormatBool(v.Bool)
			}
			return wrong, strconv.FormatBool(v.Bool)
		case js.Unknown:
			return unsure, v.Why
		case js.Null, js.Number, js.Object, js.Array, js.Function:
			return wrong, v.String()
		case js.Text:
			if !v.Opaque {
				return wrong, v.String()
			}
		}
		return unsure, v.String()
	}
}

func within(least, most float64) func(*js.Program, *js.Value, string) (state, string) {
	return func(_ *js.Program, v *js.Value, _ string) (state, string) {
		switch v.Kind {
		case js.Undefined:
			return missing, "not set"
		case js.Number:
			if v.Number >= least && v.Number <= most {
				return good, v.String()
			}
			return wrong, v.String()
		case js.Unknown:
			return unsure, v.Why
		case js.Null, js.Boolean, js.Object, js.Array, js.Function:
			return wrong, v.String()
		}
		return unsure, v.String()
	}
}

func notFalse(_ *js.Program, v *js.Value, _ string) (state, string) {
	switch v.Kind {
	case js.Undefined:
		return good, "not set"
	case js.Boolean:
		if v.Opaque {
			return unsure, v.String()
		}
		if v.Bool {
			return good, "true"
		}
		return wrong, "false"
	case js.Unknown:
		return unsure, v.Why
	}
	return unsure, v.String()
}

func retries(p *js.Program, v *js.Value, client string) (state, string) {
	switch v.Kind {
	case js.Undefined:
		if client == ioredis {
			return good, "not set: ioredis waits at most 2000 ms"
		}
		return missing, "not set"
	case js.Function:
		most, never := p.Evaluator().Longest(v)
		switch {
		case never:
			return wrong, "it may not return a number: then the client never reconnects"
		case math.IsNaN(most) || math.IsInf(most, 0):
			return unsure, "how long it waits is unknown"
		case most > maxRetryDelay:
			return wrong, fmt.Sprintf("waits up to %.0f ms", most)
		}
		return good, fmt.Sprintf("waits at most %.0f ms", most)
	case js.Unknown:
		return unsure, v.Why
	}
	return wrong, v.String()
}
