//go:build !linux

package scratch

import "syscall"

func childAttr() *syscall.SysProcAttr { return nil }
