package redisconn

import (
	"fmt"
	"strings"
	"testing"
)

func TestWhoIsConnectedIsToldByProofAndNotByAName(t *testing.T) {
	Peers([]string{"switchyard-0123456789abcdef"})
	t.Cleanup(func() { Peers(nil) })
	for _, tc := range []struct {
		rule, line string
		foreign    bool
	}{
		{"this process", "name=" + self + " cmd=get", false},
		{"this process's MONITOR", "name=" + self + "-watch cmd=monitor", false},
		{"another process of the installation", "name=switchyard-0123456789abcdef cmd=get", false},
		{"an app that calls itself switchyard", "name=switchyard cmd=lpush", true},
		{"a process that is not registered", "name=switchyard-ffffffffffffffff cmd=get", true},
		{"a link of replication", "name= flags=S cmd=replconf", false},
		{"a sentinel", "name=sentinel-01234567-cmd cmd=ping", false},
		{"a sentinel's subscription", "name=sentinel-01234567-pubsub flags=P cmd=subscribe", false},
		{"an app that calls itself a sentinel", "name=sentinel-app cmd=ping", true},
		{"a sentinel's name that uses data", "name=sentinel-01234567-cmd cmd=lpush", true},
		{"an app", "name=shop cmd=lpush", true},
		{"an app without a name", "name= cmd=bzpopmin", true},
		{"nothing was sent yet", "name= cmd=NULL", false},
	} {
		cl := parseClient("id=7 addr=10.0.0.1:5 fd=8 " + tc.line + " lib-name=x lib-ver=1\n")
		if got := cl.foreign(); got != tc.foreign {
			t.Errorf("%s: foreign %t, want %t (%+v)", tc.rule, got, tc.foreign, cl)
		}
		if cl.Host() != "10.0.0.1" || cl.ID != 7 || cl.Library != "x 1" {
			t.Errorf("%s: %+v", tc.rule, cl)
		}
	}
}

// BenchmarkParse1000Clients is what the list of a server with 1,000 clients costs this side.
func BenchmarkParse1000Clients(b *testing.B) {
	var list strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&list, "id=%d addr=10.1.%d.%d:%d laddr=10.0.0.1:6379 fd=8 name=producer:shop:"+
			"orders:source age=100 idle=0 flags=N db=0 sub=0 psub=0 ssub=0 multi=-1 watch=0 "+
			"qbuf=26 qbuf-free=20448 argv-mem=10 multi-mem=0 rbs=1024 rbp=0 obl=0 oll=0 omem=0 "+
			"tot-mem=22426 events=r cmd=evalsha user=default redir=-1 resp=2 lib-name=ioredis "+
			"lib-ver=5.6.1 io-thread=0 tot-net-in=100 tot-net-out=200 tot-cmds=7\n",
			i+1, i/250, i%250, 30000+i)
	}
	text := list.String()
	b.ReportAllocs()
	for b.Loop() {
		if got := parseClients(text); len(got) != 1000 {
			b.Fatal(len(got))
		}
	}
}
