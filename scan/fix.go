package scan

import (
	"strconv"
	"strings"
)

// fix says what to write, leaving out what is there already.
func (f Finding) fix() string {
	var conn, queue []string
	for _, c := range f.Checks {
		if c.State == good {
			continue
		}
		for _, o := range producerOptions {
			switch {
			case o.name != c.Option:
			case o.place == "connection":
				conn = append(conn, o.snippet)
			default:
				queue = append(queue, o.snippet)
			}
		}
	}
	if f.Role == RolePipeline {
		if f.Verdict == Pass {
			return ""
		}
		return "new Pipeline({ queue, ... }) without `producer`, or a drill that tries it."
	}
	if f.Role == RoleProducer {
		if f.Verdict == Pass {
			return ""
		}
		return "new Producer({ queue, connection: producerOptions(endpoint, purpose) }), " +
			"without safe: false."
	}
	if len(conn)+len(queue) == 0 {
		return ""
	}
	name := "name"
	if f.Queue != "" {
		name = strconv.Quote(f.Queue)
	}
	var parts []string
	switch list := strings.Join(conn, ", "); {
	case len(conn) == 0:
		parts = append(parts, "connection")
	case f.client == ioredis:
		parts = append(parts, "connection: connection.duplicate({ "+list+" })")
	default:
		parts = append(parts, "connection: { ...connection, "+list+" }")
	}
	list := strings.Join(append(parts, queue...), ", ")
	const workers = " Workers keep their own connection, without these options."
	switch f.Role {
	case RoleFlow:
		return "new FlowProducer({ " + list + " })." + workers
	case RoleNestQueue:
		return "BullModule.registerQueue({ " +
			"name: " + name + ", " + list + " }), not in forRoot; and @Processor(name, { " +
			"connection }) with its own connection: otherwise it uses the queue's, and a command " +
			"timeout interrupts its blocking read."
	case RoleNestFlow:
		return "BullModule.registerFlowProducer({ name: " + name + ", " + list +
			" }), not in forRoot: processors take theirs from there."
	case RoleSubclass:
		return "super(name, { ...options, " + list + " })." + workers
	}
	return "new Queue(" + name + ", { " + list + " })." + workers
}
