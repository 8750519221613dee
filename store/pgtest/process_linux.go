package pgtest

import "syscall"

// endWithUs makes the kernel end the server when the test process ends, however it ends.
func endWithUs() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGQUIT}
}
