package ofrep

import (
	"errors"
	"net"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/switchyard-dev/switchyard/fleet"
)

// patience is for connections that cannot be written to without waiting.
const patience = 20 * time.Millisecond

// stream is one open stream.
type stream struct {
	conn  net.Conn
	raw   syscall.RawConn // nil: it cannot be written to without waiting
	key   string
	count *atomic.Int64
	line  *fleet.Stream
	told  int64 // the revision it was told last; below 0: none
}

// take takes the connection over, without the buffer that its request was read with.
func (st *stream) take(conn net.Conn) {
	if h, ok := conn.(interface{ UnsafeConn() net.Conn }); ok {
		conn = h.UnsafeConn()
	}
	st.conn = conn
	if sc, ok := conn.(syscall.Conn); ok {
		st.raw, _ = sc.SyscallConn() // an error leaves it nil
	}
}

func (st *stream) tell(revision int64, event []byte) bool {
	if st.told >= revision {
		return true
	}
	st.told = revision
	if !st.write(event) {
		return false
	}
	st.line.Sent(revision)
	return true
}

var heartbeat = []byte(":\n\n")

func (st *stream) beat() bool { return !st.gone() && st.write(heartbeat) }

// write sends all of b at once or fails: a reader that does not keep up is let go, and
// comes back when it can.
func (st *stream) write(b []byte) bool {
	if st.raw == nil {
		_ = st.conn.SetWriteDeadline(time.Now().Add(patience))
		_, err := st.conn.Write(b)
		return err == nil
	}
	var n int
	var err error
	if rawErr := st.raw.Write(func(fd uintptr) bool {
		for {
			n, err = syscall.Write(int(fd), b)
			if !errors.Is(err, syscall.EINTR) {
				return true
			}
		}
	}); rawErr != nil {
		return false
	}
	return err == nil && n == len(b)
}

// gone reports whether the reader has closed its end, which writing alone would show only
// the time after.
func (st *stream) gone() bool {
	if st.raw == nil {
		return false
	}
	var n int
	var err error
	rawErr := st.raw.Read(func(fd uintptr) bool {
		var b [1]byte
		n, _, err = syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		return true
	})
	return rawErr != nil || n == 0 && err == nil ||
		err != nil && !errors.Is(err, syscall.EAGAIN) && !errors.Is(err, syscall.EINTR)
}

func (st *stream) end() {
	_ = st.conn.Close() // nothing more can be done with it
	st.line.Close()
	st.count.Add(-1)
}
