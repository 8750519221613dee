package migration

import (
	"fmt"
	"time"
)

// Words writes a duration for people: "212 ms", "8.2 s", "40 s", "4 min 44 s", "24 h", "3 d 4 h".
// It names the largest unit and, where something is left, the next smaller one. What clocks that
// differ make negative is "0 s".
func Words(d time.Duration) string {
	switch {
	case d <= 0:
		return "0 s"
	case d < time.Millisecond:
		return "under 1 ms"
	}
	if r := d.Round(time.Millisecond); r < time.Second {
		return fmt.Sprintf("%d ms", r.Milliseconds())
	}
	if r := d.Round(100 * time.Millisecond); r < 10*time.Second && r%time.Second != 0 {
		return fmt.Sprintf("%.1f s", r.Seconds())
	}
	if r := d.Round(time.Second); r < time.Minute {
		return fmt.Sprintf("%d s", r/time.Second)
	} else if r < time.Hour {
		return inUnits(r, time.Minute, "min", time.Second, "s")
	}
	if r := d.Round(time.Minute); r < 48*time.Hour {
		return inUnits(r, time.Hour, "h", time.Minute, "min")
	}
	return inUnits(d.Round(time.Hour), 24*time.Hour, "d", time.Hour, "h")
}

// Millis writes milliseconds for people, as the unit of a Figure.
func Millis(n int64) string { return Words(time.Duration(n) * time.Millisecond) }

func inUnits(
	d, large time.Duration, largeName string, small time.Duration, smallName string,
) string {
	text := fmt.Sprintf("%d %s", d/large, largeName)
	if rest := d % large / small; rest > 0 {
		text += fmt.Sprintf(" %d %s", rest, smallName)
	}
	return text
}
