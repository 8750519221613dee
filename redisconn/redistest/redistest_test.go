package redistest_test

import (
	"errors"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/redisconn"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
)

func TestServerIsReachableWithPasswordAndTLS(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t, redistest.Password("p@ss/word"), redistest.TLS())
	if err := redisconn.Ping(t.Context(), s.Client()); err != nil {
		t.Fatal(err)
	}
}

func TestKillFreezeThawRestart(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	c := s.Client()
	s.Kill()
	if redisconn.Ping(t.Context(), c) == nil {
		t.Fatal("a killed server answers")
	}
	s.Restart()
	redistest.Eventually(t, 5*time.Second, func() error {
		return redisconn.Ping(t.Context(), c)
	})
	s.Freeze()
	if redisconn.Ping(t.Context(), c) == nil {
		t.Fatal("a frozen server answers")
	}
	s.Thaw()
	redistest.Eventually(t, 5*time.Second, func() error {
		return redisconn.Ping(t.Context(), c)
	})
}

func TestSentinelDeploymentIsHealthy(t *testing.T) {
	t.Parallel()
	d := redistest.StartSentinel(t, 2, redistest.Password("secret"),
		redistest.SentinelPassword("other"))
	if err := redisconn.Ping(t.Context(), d.Client()); err != nil {
		t.Fatal(err)
	}
	if n := len(d.Nodes); n != 3 {
		t.Fatal(errors.New("wrong number of nodes"))
	}
}
