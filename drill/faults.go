package drill

import "context"

// Fault is one way to fail.
type Fault struct {
	ID, Title string
	// Meaning is what happens in the world that looks like this to the app.
	Meaning string
	cold    bool // the app opens its producer while the fault lasts
	begin   func(ctx context.Context, b *Bench) error
	end     func(ctx context.Context, b *Bench) error
	// once: the fault hits one command and is over, before the answer is waited for
	once bool
	// cut: connections close. An add that is on its way just then is the fault reply-lost,
	// so the app gets to notice before the next one.
	cut bool
}

// Faults are all faults, in the order of the matrix.
var Faults = []Fault{
	{ID: "refused", Title: "Connection refused",
		Meaning: "Redis was killed, or its machine restarts", cut: true,
		begin: func(_ context.Context, b *Bench) error { b.proxy.down(); return nil },
		end:   func(_ context.Context, b *Bench) error { return b.proxy.up() }},
	{ID: "cold-start", Title: "Cold start while it is down",
		Meaning: "a dyno restarts during the outage", cold: true,
		begin: func(_ context.Context, b *Bench) error { b.proxy.down(); return nil },
		end:   func(_ context.Context, b *Bench) error { return b.proxy.up() }},
	{ID: "frozen", Title: "Server frozen",
		Meaning: "the machine stalls: connections stand, nothing answers",
		begin:   func(_ context.Context, b *Bench) error { return b.server.Freeze() },
		end:     func(_ context.Context, b *Bench) error { return b.server.Thaw() }},
	{ID: "blackhole", Title: "Packets vanish",
		Meaning: "a network partition: connections stand, nothing arrives",
		begin:   func(_ context.Context, b *Bench) error { return b.proxy.swallow() },
		end:     func(ctx context.Context, b *Bench) error { b.proxy.clean(ctx); return nil }},
	{ID: "oom", Title: "Memory full", Meaning: "maxmemory is reached under noeviction",
		begin: func(ctx context.Context, b *Bench) error {
			return b.server.Client().ConfigSet(ctx, "maxmemory", "1").Err()
		},
		end: func(ctx context.Context, b *Bench) error {
			return b.server.Client().ConfigSet(ctx, "maxmemory", "0").Err()
		}},
	{ID: "readonly", Title: "Demoted to a replica",
		Meaning: "a failover happened and the app still holds the old master",
		begin: func(ctx context.Context, b *Bench) error {
			return b.server.Client().ReplicaOf(ctx, "127.0.0.1", "1").Err()
		},
		end: func(ctx context.Context, b *Bench) error {
			return b.server.Client().ReplicaOf(ctx, "NO", "ONE").Err()
		}},
	{ID: "reply-lost", Title: "Reply lost after the write",
		Meaning: "the connection breaks between the write and its answer", once: true,
		begin: func(_ context.Context, b *Bench) error { return b.proxy.loseReplies() },
		end:   func(ctx context.Context, b *Bench) error { b.proxy.clean(ctx); return nil }},
}
