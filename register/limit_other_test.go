//go:build !unix

package register_test

func limitFiles(uint64) { panic("not on this system") }
