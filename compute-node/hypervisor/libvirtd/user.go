package libvirtd

import (
	"context"
	"fmt"
	"os/exec"
	"os/user"
)

// account is the user and group whose ids libvirt's driver looks up when it
// runs as root, whatever qemu.conf says. Debian's package libvirt-daemon-system
// makes it, but that package also brings a daemon and a network that an agent
// has no use for.
const account = "libvirt-qemu"

// ensureAccount makes the account where it is missing. Several agents of one
// machine may do so at once: what counts is that it is there afterwards.
func ensureAccount(ctx context.Context, cfg Config) error {
	for _, part := range []struct {
		lookup func() error
		argv   []string
	}{
		{func() error { _, err := user.LookupGroup(account); return err },
			[]string{"groupadd", "--system", account}},
		{func() error { _, err := user.Lookup(account); return err },
			[]string{"useradd", "--system", "--gid", account, "--no-create-home", "--home-dir", "/var/lib/libvirt", "--shell", "/usr/sbin/nologin", account}},
	} {
		if part.lookup() == nil {
			continue
		}
		cfg.Log.Info("make the account that libvirt looks up", "command", part.argv)
		out, err := exec.CommandContext(ctx, "/usr/sbin/"+part.argv[0], part.argv[1:]...).CombinedOutput()
		if err == nil || part.lookup() == nil {
			continue
		}
		return fmt.Errorf("libvirtd: the account %s is missing and %v failed: %w: %s", account, part.argv, err, out)
	}
	return nil
}
