package lab

import (
	"fmt"
	"os"
	"syscall"
)

// owned refuses a directory that another user could write to.
func owned(dir string) error {
	fi, err := os.Lstat(dir)
	if err != nil {
		return fmt.Errorf("lab: %w", err)
	}
	st := fi.Sys().(*syscall.Stat_t)
	if !fi.IsDir() || int(st.Uid) != os.Getuid() || fi.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("%s belongs to somebody else or can be written by others: remove it, then try again", dir)
	}
	return nil
}
