package scratch_test

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn/scratch"
)

func TestAScratchServerIsReachedFreezesAndLeavesNothing(t *testing.T) {
	t.Parallel()
	binary, err := scratch.Find("")
	if err != nil {
		t.Fatal(err)
	}
	for rule, o := range map[string]scratch.Options{"by socket alone": {Binary: binary},
		"by TCP with a password": {Binary: binary, TCP: true}} {
		t.Run(rule, func(t *testing.T) {
			t.Parallel()
			s, err := scratch.Start(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			dir, err := s.Client().ConfigGet(t.Context(), "dir").Result()
			if err != nil {
				t.Fatal(err)
			}
			if (s.Addr() != "") != o.TCP || fmt.Sprint(s.Password()) != "redacted" && o.TCP {
				t.Errorf("address %q, password %v", s.Addr(), s.Password())
			}
			if o.TCP {
				for password, works := range map[string]bool{"": false,
					s.Password().Reveal(): true} {
					c := redis.NewClient(&redis.Options{Addr: s.Addr(), Password: password,
						MaxRetries: -1})
					if err := c.Ping(t.Context()).Err(); (err == nil) != works {
						t.Errorf("with password %t: %v", password != "", err)
					}
					_ = c.Close()
				}
			}
			if err := s.Freeze(); err != nil {
				t.Fatal(err)
			}
			short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			if err := s.Client().Ping(short).Err(); err == nil {
				t.Error("a frozen server answered")
			}
			if err := s.Thaw(); err != nil {
				t.Fatal(err)
			}
			if err := s.Client().Ping(t.Context()).Err(); err != nil {
				t.Errorf("after thawing: %v", err)
			}
			s.Close()
			if _, err := os.Stat(dir["dir"]); !os.IsNotExist(err) {
				t.Errorf("its folder is left: %v", err)
			}
		})
	}
}

func TestWhatIsMissingIsSaid(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"off", "no-such-redis-server"} {
		if _, err := scratch.Find(name); migration.KindOf(err) != migration.Blocked {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := scratch.Start(t.Context(), scratch.Options{Binary: "/bin/false"}); err == nil {
		t.Error("a program that ends is no server")
	}
}
