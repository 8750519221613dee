package migration

import (
	"testing"
	"time"
)

func TestDurationsAreWrittenForPeople(t *testing.T) {
	t.Parallel()
	const ms, day = time.Millisecond, 24 * time.Hour
	for _, c := range []struct {
		d    time.Duration
		want string
	}{
		{-time.Second, "0 s"},
		{0, "0 s"},
		{400 * time.Microsecond, "under 1 ms"},
		{time.Millisecond, "1 ms"},
		{1600 * time.Microsecond, "2 ms"},
		{212 * ms, "212 ms"},
		{999*ms + 499*time.Microsecond, "999 ms"},
		{999*ms + 500*time.Microsecond, "1 s"},
		{time.Second, "1 s"},
		{1040 * ms, "1 s"},
		{2001 * ms, "2 s"},
		{8240 * ms, "8.2 s"},
		{9949 * ms, "9.9 s"},
		{9950 * ms, "10 s"},
		{12740 * ms, "13 s"},
		{40 * time.Second, "40 s"},
		{59*time.Second + 400*ms, "59 s"},
		{59*time.Second + 500*ms, "1 min"},
		{time.Minute, "1 min"},
		{90 * time.Second, "1 min 30 s"},
		{4*time.Minute + 44*time.Second, "4 min 44 s"},
		{15 * time.Minute, "15 min"},
		{59*time.Minute + 59*time.Second, "59 min 59 s"},
		{59*time.Minute + 59*time.Second + 600*ms, "1 h"},
		{time.Hour + 20*time.Second, "1 h"},
		{3*time.Hour + 20*time.Minute, "3 h 20 min"},
		{day, "24 h"},
		{36*time.Hour + 30*time.Minute, "36 h 30 min"},
		{48*time.Hour - time.Second, "2 d"},
		{48 * time.Hour, "2 d"},
		{3*day + 4*time.Hour + 10*time.Minute, "3 d 4 h"},
		{30 * day, "30 d"},
		{366 * day, "366 d"},
	} {
		if got := Words(c.d); got != c.want {
			t.Errorf("%s: %q, want %q", c.d, got, c.want)
		}
	}
}
