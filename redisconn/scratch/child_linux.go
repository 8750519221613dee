package scratch

import "syscall"

// childAttr makes the kernel end the server when this process ends, however that
// happens.
func childAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
