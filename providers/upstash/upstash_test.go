package upstash_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/switchyard-dev/switchyard/providers/upstash"
)

func TestPlanName(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		rule string
		kind string
		disk int64
		want string
	}{
		{"free", "free", 256 << 20, "free"},
		{"pay-as-you-go", "payg", 100 << 30, "payg"},
		{"pay-as-you-go is never fixed, whatever its limit", "payg", 1 << 30, "payg"},
		{"fixed 250 MB", "paid", 250 << 20, "fixed_250mb"},
		{"fixed 1 GB", "paid", 1 << 30, "fixed_1gb"},
		{"fixed 1 GB with the other paid type", "pro", 1 << 30, "fixed_1gb"},
		{"fixed 5 GB", "paid", 5 << 30, "fixed_5gb"},
		{"the document's example, which may be either", "paid", 107374182400, ""},
		{"a size that no plan has", "paid", 2 << 30, ""},
		{"no size", "paid", 0, ""},
		{"a type that is not documented", "gold", 1 << 30, ""},
		{"nothing", "", 0, ""},
	} {
		db := upstash.Database{Type: c.kind, DiskThreshold: c.disk}
		name, why := db.PlanName()
		if name != c.want || !strings.Contains(why, fmt.Sprintf("%q", c.kind)) {
			t.Errorf("%s: %q, %s", c.rule, name, why)
		}
		if ok, why := db.Fixed1GB(); ok != (c.want == upstash.Fixed1GB) || why == "" {
			t.Errorf("%s: Fixed1GB %v, %s", c.rule, ok, why)
		}
	}
}

func TestAddressOfSlugAndHost(t *testing.T) {
	t.Parallel()
	for endpoint, want := range map[string]string{
		"beloved-stallion-58500":             "beloved-stallion-58500.upstash.io:6379",
		"beloved-stallion-58500.upstash.io":  "beloved-stallion-58500.upstash.io:6379",
		"127.0.0.1":                          "127.0.0.1:6379",
		"::1":                                "[::1]:6379",
		"localhost":                          "localhost:6379",
		"apn1-beloved-stallion.upstash.test": "apn1-beloved-stallion.upstash.test:6379",
	} {
		if got := (upstash.Database{Endpoint: endpoint, Port: 6379}).Addr(); got != want {
			t.Errorf("%s: %s, want %s", endpoint, got, want)
		}
	}
}

func TestPasswordIsReadButNeverPrinted(t *testing.T) {
	t.Parallel()
	var db upstash.Database
	if err := json.Unmarshal([]byte(`{"database_id":"x","password":"hunter2","endpoint":"a","port":1,"tls":true}`), &db); err != nil {
		t.Fatal(err)
	}
	if db.Password.Reveal() != "hunter2" || db.URL().Reveal() != "rediss://default:hunter2@a.upstash.io:1" {
		t.Error("the password was not read")
	}
	out, err := json.Marshal(db)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{string(out), fmt.Sprint(db), fmt.Sprintf("%+v %#v", db, db), fmt.Sprint(db.URL())} {
		if strings.Contains(text, "hunter2") {
			t.Errorf("password in %s", text)
		}
	}
}
