package environment

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/bullmq"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/providers"
	"github.com/switchyard-dev/switchyard/redisconn"
	"github.com/switchyard-dev/switchyard/sentinel"
	"github.com/switchyard-dev/switchyard/store"
)

// Servers are the Redis servers of both sides, as the configuration describes them.
// Connections are opened lazily and no credential is kept: the target's comes from the
// managed service, or the configuration, each time the process starts.
type Servers struct {
	// Queues are the pipeline's.
	Queues []bullmq.Queue
	// Standalone is the single server that everything starts on.
	Standalone         redis.UniversalClient
	StandaloneEndpoint redisconn.Endpoint
	// Sentinel is the way through the Sentinel deployment, Cluster the deployment itself;
	// both nil where none is configured.
	Sentinel         redis.UniversalClient
	SentinelEndpoint redisconn.Endpoint
	Cluster          *sentinel.Cluster
	// Clients says who is connected to them.
	Clients *Clients

	store   *store.Store
	routing *Routing
	managed providers.Managed

	mu             sync.Mutex
	target         redis.UniversalClient
	targetEndpoint redisconn.Endpoint
}

// valuesWithin is how long some of the largest values that a service takes may be under way; a
// server that answers nothing for longer is gone.
const valuesWithin = 15 * time.Second

// OpenBulk opens the source and the target once more, for values of any size, until closed is
// called.
func (s *Servers) OpenBulk(
	ctx context.Context, mid string,
) (source, target redis.UniversalClient, closed func(), err error) {
	_, from, err := s.Source(ctx, mid)
	if err != nil {
		return nil, nil, nil, err
	}
	_, to, err := s.Target(ctx)
	if err != nil {
		return nil, nil, nil, err
	}
	if source, err = redisconn.OpenBulk(from, valuesWithin); err != nil {
		return nil, nil, nil, err
	}
	if target, err = redisconn.OpenBulk(to, valuesWithin); err != nil {
		_ = source.Close()
		return nil, nil, nil, err
	}
	return source, target, func() { _, _ = source.Close(), target.Close() }, nil
}

// Source gives the server that the flags name as the source side now. NotFound once they name none.
func (s *Servers) Source(
	ctx context.Context,
	mid string,
) (redis.UniversalClient, redisconn.Endpoint, error) {
	r, err := s.routing.Read(ctx, mid)
	if err != nil {
		return nil, redisconn.Endpoint{}, err
	}
	switch {
	case r.Source == migration.SourceStandalone:
		return s.Standalone, s.StandaloneEndpoint, nil
	case r.Source == migration.SourceSentinel && s.Cluster != nil:
		return s.Sentinel, s.SentinelEndpoint, nil
	}
	return nil, redisconn.Endpoint{}, migration.Errorf(
		migration.NotFound,
		"the flags no longer name a source server",
	)
}

// Target gives the managed database, asking its service for the credentials the first
// time. NotFound before it is provisioned.
func (s *Servers) Target(ctx context.Context) (redis.UniversalClient, redisconn.Endpoint, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.target != nil {
		return s.target, s.targetEndpoint, nil
	}
	var ref targetRef
	ok, err := s.store.Setting(ctx, targetSetting, &ref)
	if err != nil {
		return nil, redisconn.Endpoint{}, err
	}
	if !ok {
		return nil, redisconn.Endpoint{}, migration.Errorf(
			migration.NotFound,
			"%s: run the step Provision the managed Redis",
			migration.NotProvisioned,
		)
	}
	access, err := s.managed.Access(ctx, ref.DatabaseID)
	if err != nil {
		return nil, redisconn.Endpoint{}, migration.Errorf(
			migration.Unavailable,
			"the managed service did not tell the database's address: %w",
			err,
		)
	}
	endpoint := managedEndpoint(access)
	c, err := redisconn.Open(endpoint)
	if err != nil {
		return nil, redisconn.Endpoint{}, err
	}
	s.target, s.targetEndpoint = c, endpoint
	return c, endpoint, nil
}

// isTarget reports whether an address is that of the managed database in use.
func (s *Servers) isTarget(address string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.target != nil && s.targetEndpoint.Address() == address
}

// targetSetting is what is remembered of the managed database; its credentials are not.
const targetSetting = "target"

type targetRef struct {
	DatabaseID string `json:"database_id"`
}

// TargetID gives the managed database's id at its service; "" before it is provisioned.
func (s *Servers) TargetID(ctx context.Context) (string, error) {
	var ref targetRef
	_, err := s.store.Setting(ctx, targetSetting, &ref)
	return ref.DatabaseID, err
}

// UseTarget remembers which database is the target from now on.
func (s *Servers) UseTarget(ctx context.Context, id string) error {
	before, err := s.TargetID(ctx)
	if err != nil {
		return err
	}
	if before != "" && before != id { // its address must not be used any more
		if err := s.ForgetTarget(ctx); err != nil {
			return err
		}
	}
	return s.store.SetSetting(ctx, targetSetting, targetRef{DatabaseID: id})
}

// ForgetTarget drops the connection and what is remembered of the database; the database
// itself stays.
func (s *Servers) ForgetTarget(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.target != nil {
		_ = s.target.Close() // a connection nobody needs any more
		s.target = nil
	}
	return s.store.DeleteSetting(ctx, targetSetting)
}

// Side gives one side's server.
func (s *Servers) Side(
	ctx context.Context,
	mid, side string,
) (redis.UniversalClient, redisconn.Endpoint, error) {
	if side == "target" {
		return s.Target(ctx)
	}
	return s.Source(ctx, mid)
}

// Close closes every connection.
func (s *Servers) Close() {
	var errs []error
	errs = append(errs, s.Standalone.Close())
	if s.Cluster != nil {
		errs = append(errs, s.Sentinel.Close())
		s.Cluster.Close()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.target != nil {
		errs = append(errs, s.target.Close())
	}
	_ = errors.Join(errs...) // connections of a process that ends
}
