//go:build !linux

package backup

// diskFree and memoryFree are unknown here.
func diskFree(string) int64 { return -1 }
func memoryFree() int64     { return -1 }
