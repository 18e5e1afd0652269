package main

import (
	"archive/tar"
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// node is one file of the image.
type node struct {
	mode     uint32 // st_mode: kind and permissions
	uid, gid int
	data     []byte
	link     string // target of a symbolic link
}

const modeLink = 0o120000

func (n *node) kind() uint32 { return n.mode & 0o170000 }

// tree is the image's root file system in memory: clean paths without a leading
// slash, "" excluded. /bin, /sbin, /lib and /lib64 are links into /usr.
type tree struct {
	files map[string]*node
}

func newTree() *tree {
	t := &tree{files: map[string]*node{}}
	for _, d := range []string{"bin", "sbin", "lib", "lib64"} {
		t.mkdir("usr/"+d, 0o755)
		t.symlink(d, "usr/"+d)
	}
	return t
}

// merged rewrites a path of a package to where the file really lies.
func merged(p string) string {
	first, _, _ := strings.Cut(p, "/")
	switch first {
	case "bin", "sbin", "lib", "lib64":
		return "usr/" + p
	}
	return p
}

func (t *tree) mkdir(p string, perm uint32) {
	for d := path.Dir(p); d != "."; d = path.Dir(d) {
		if t.files[d] == nil {
			t.files[d] = &node{mode: modeDir | 0o755}
		}
	}
	t.files[p] = &node{mode: modeDir | perm}
}

func (t *tree) put(p string, n *node) {
	if d := path.Dir(p); d != "." && t.files[d] == nil {
		t.mkdir(d, 0o755)
	}
	t.files[p] = n
}

func (t *tree) write(p string, perm uint32, text string) {
	t.put(p, &node{mode: modeFile | perm, data: []byte(text)})
}

func (t *tree) symlink(p, target string) { t.put(p, &node{mode: modeLink | 0o777, link: target}) }

// dropped are parts of packages that a guest has no use for.
var dropped = []string{
	"usr/share/doc/", "usr/share/man/", "usr/share/info/", "usr/share/locale/", "usr/share/lintian/",
	"usr/share/bash-completion/", "usr/share/bug/", "usr/share/menu/", "usr/share/doc-base/", "usr/share/initramfs-tools/",
	"usr/include/", "usr/lib/x86_64-linux-gnu/gconv/", "usr/lib/x86_64-linux-gnu/audit/", "usr/lib/systemd/", "usr/lib/tmpfiles.d/",
	"usr/lib/udev/", "usr/lib/ssl/", "usr/lib/x86_64-linux-gnu/e2fsprogs/", "usr/lib/e2fsprogs/", "etc/init.d/", "etc/cron.d/", "etc/ca-certificates/", "etc/skel/",
}

// addPackage adds the files of a package.
func (t *tree) addPackage(ctx context.Context, deb string) error {
	return readPackage(ctx, deb, func(h *tar.Header, r io.Reader) error {
		p := merged(strings.TrimPrefix(path.Clean("/"+h.Name), "/"))
		for _, d := range dropped {
			if strings.HasPrefix(p+"/", d) {
				return nil
			}
		}
		perm := uint32(h.Mode) & 0o7777
		switch h.Typeflag {
		case tar.TypeDir:
			if p != "" && t.files[p] == nil {
				t.mkdir(p, perm)
			}
		case tar.TypeReg:
			b, err := io.ReadAll(r)
			if err != nil {
				return err
			}
			t.put(p, &node{mode: modeFile | perm, uid: h.Uid, gid: h.Gid, data: b})
		case tar.TypeSymlink:
			t.symlink(p, h.Linkname)
		case tar.TypeLink:
			from := t.files[merged(strings.TrimPrefix(path.Clean("/"+h.Linkname), "/"))]
			if from == nil {
				return fmt.Errorf("%s is a link to %s, which is not there", p, h.Linkname)
			}
			t.put(p, from)
		default:
			return fmt.Errorf("%s has the unexpected type %q", p, h.Typeflag)
		}
		return nil
	})
}

// readPackage calls do for each file of a Debian package, in its order.
func readPackage(ctx context.Context, deb string, do func(*tar.Header, io.Reader) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cmd := exec.CommandContext(ctx, "dpkg-deb", "--fsys-tarfile", deb)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	r := tar.NewReader(out)
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = do(h, r)
		}
		if err != nil {
			cancel()
			cmd.Wait()
			return fmt.Errorf("%s: %w %s", filepath.Base(deb), err, errs.Bytes())
		}
	}
	io.Copy(io.Discard, out) // the padding of the archive
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("%s: dpkg-deb: %w: %s", filepath.Base(deb), err, errs.Bytes())
	}
	return nil
}

// promised programs must be there with every library they need.
var promised = []string{
	"usr/bin/bash", "usr/bin/curl", "usr/bin/ping", "usr/bin/sudo", "usr/bin/wget", "usr/bin/busybox",
	"usr/bin/df", "usr/bin/sh", "usr/sbin/dropbear", "usr/sbin/ifconfig", "usr/sbin/mkfs.ext4", "usr/sbin/resize2fs",
	"usr/bin/ip", "usr/bin/lsblk", "usr/lib/openssh/sftp-server", "usr/lib/x86_64-linux-gnu/security/pam_permit.so",
}

// prune removes every ELF file whose libraries are not in the tree, again and
// again until all that is left can be loaded, and then asks for what was
// promised.
func (t *tree) prune() error {
	why := map[string]string{}
	for {
		have := map[string]bool{}
		for p := range t.files {
			have[path.Base(p)] = true
		}
		var bad []string
		for p, n := range t.files {
			if n.kind() != modeFile || !bytes.HasPrefix(n.data, []byte(elf.ELFMAG)) {
				continue
			}
			f, err := elf.NewFile(bytes.NewReader(n.data))
			if err != nil {
				return fmt.Errorf("%s: %w", p, err)
			}
			libs, err := f.ImportedLibraries()
			if err != nil {
				continue // a static program
			}
			for _, l := range libs {
				if !have[l] {
					bad, why[p] = append(bad, p), l
					break
				}
			}
		}
		if len(bad) == 0 {
			break
		}
		for _, p := range bad {
			delete(t.files, p)
		}
	}
	var missing []error
	for _, p := range promised {
		if t.resolve(p) == nil {
			missing = append(missing, fmt.Errorf("%s is not in the image (library missing: %q)", p, why[p]))
		}
	}
	return errors.Join(missing...)
}

// resolve follows links to a file, nil when there is none.
func (t *tree) resolve(p string) *node {
	for range 8 {
		n := t.files[merged(p)]
		if n == nil || n.kind() != modeLink {
			return n
		}
		if path.IsAbs(n.link) {
			p = strings.TrimPrefix(path.Clean(n.link), "/")
		} else {
			p = path.Join(path.Dir(merged(p)), n.link)
		}
	}
	return nil
}

// paths are all paths, parents before children.
func (t *tree) paths() []string { return slices.Sorted(maps.Keys(t.files)) }

// furnish makes a system of the packages' files: accounts, links of busybox,
// certificates, configuration.
func (t *tree) furnish(ctx context.Context, tmp string) error {
	if err := t.busybox(ctx, tmp); err != nil {
		return err
	}
	t.certificates()
	for _, d := range []struct {
		path string
		perm uint32
	}{
		{"dev", 0o755}, {"proc", 0o555}, {"sys", 0o555}, {"run", 0o755}, {"tmp", 0o1777}, {"mnt", 0o755}, {"media", 0o755},
		{"root", 0o700}, {"home/ec2-user", 0o700}, {"var/log", 0o755}, {"var/tmp", 0o1777}, {"var/lib/skerry/instances", 0o755},
		{"opt", 0o755}, {"srv", 0o755}, {"usr/local/bin", 0o755}, {"etc/dropbear", 0o700},
	} {
		t.mkdir(d.path, d.perm)
	}
	home := t.files["home/ec2-user"]
	home.uid, home.gid = 1000, 1000
	t.symlink("var/run", "/run")
	for p, text := range configuration {
		t.write(p, 0o644, text)
	}
	t.write("etc/shadow", 0o640, "root:*:19000:0:99999:7:::\nnobody:*:19000:0:99999:7:::\nec2-user:*:19000:0:99999:7:::\n")
	t.write("etc/sudoers", 0o440, "Defaults env_reset\nDefaults secure_path=\"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\"\nroot ALL=(ALL:ALL) ALL\nec2-user ALL=(ALL:ALL) NOPASSWD:ALL\n")
	// PID 1 takes these signals as busybox's init does.
	for name, sig := range map[string]string{"poweroff": "USR2", "halt": "USR1", "reboot": "TERM"} {
		delete(t.files, "usr/bin/"+name)
		t.write("usr/sbin/"+name, 0o755, "#!/bin/sh\nexec kill -"+sig+" 1\n")
	}
	t.write("usr/sbin/shutdown", 0o755, "#!/bin/sh\ncase \" $* \" in *\" -r \"*) exec kill -TERM 1;; *) exec kill -USR2 1;; esac\n")
	delete(t.files, "usr/bin/shutdown")
	if err := t.prune(); err != nil {
		return err
	}
	// A command over ssh has no profile, and a path without sbin.
	for _, p := range t.paths() {
		if dir, name := path.Split(p); dir == "usr/sbin/" && t.files["usr/bin/"+name] == nil {
			t.symlink("usr/bin/"+name, "../sbin/"+name)
		}
	}
	return nil
}

// configuration is what Debian's installation would write.
var configuration = map[string]string{
	"etc/passwd":        "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\nec2-user:x:1000:1000:EC2 user:/home/ec2-user:/bin/bash\n",
	"etc/group":         "root:x:0:\ntty:x:5:\ndisk:x:6:\nsudo:x:27:ec2-user\nnogroup:x:65534:\nec2-user:x:1000:\n",
	"etc/shells":        "/bin/sh\n/bin/bash\n",
	"etc/nsswitch.conf": "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nnetworks: files\nprotocols: files\nservices: files\n",
	"etc/hosts":         "127.0.0.1 localhost\n::1 localhost\n",
	"etc/hostname":      "localhost\n",
	"etc/resolv.conf":   "",
	"etc/fstab":         "/dev/vda / ext4 defaults,noatime 0 1\n",
	"etc/profile":       "export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n[ -n \"$PS1\" ] && PS1='[\\u@\\h \\W]\\$ '\n",
	"etc/pam.d/sudo":    "auth sufficient pam_permit.so\naccount required pam_permit.so\nsession required pam_permit.so\n",
	"etc/pam.d/sudo-i":  "auth sufficient pam_permit.so\naccount required pam_permit.so\nsession required pam_permit.so\n",
	"etc/pam.d/other":   "auth required pam_deny.so\naccount required pam_deny.so\nsession required pam_deny.so\n",
	"etc/ld.so.conf":    "/usr/local/lib\n/lib/x86_64-linux-gnu\n/usr/lib/x86_64-linux-gnu\n",
}

// release says what the system calls itself.
func (t *tree) release(r release) {
	t.write("etc/os-release", 0o644, fmt.Sprintf("PRETTY_NAME=%q\nNAME=\"Skerry Linux\"\nVERSION_ID=%q\nID=skerry\nID_LIKE=debian\n", r.title, r.version))
	t.write("etc/motd", 0o644, "\n  "+r.title+"\n\n")
}

// notLinked are applets that would pretend to be what they are not here.
var notLinked = map[string]bool{"init": true, "linuxrc": true, "getty": true, "login": true, "su": true, "passwd": true, "dpkg": true, "dpkg-deb": true, "rpm": true, "busybox": true, "udhcpc": true, "udhcpd": true, "sulogin": true, "adduser": true, "start-stop-daemon": true}

// busybox links every applet that no real program is there for. The applets are
// asked of the program itself.
func (t *tree) busybox(ctx context.Context, tmp string) error {
	b := t.resolve("bin/busybox")
	if b == nil {
		return errors.New("busybox-static brought no /bin/busybox")
	}
	file := filepath.Join(tmp, "busybox")
	if err := os.WriteFile(file, b.data, 0o755); err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, file, "--list").Output()
	if err != nil {
		return fmt.Errorf("busybox --list: %w", err)
	}
	for _, a := range strings.Fields(string(out)) {
		if notLinked[a] || t.files["usr/bin/"+a] != nil || t.files["usr/sbin/"+a] != nil {
			continue
		}
		t.symlink("usr/bin/"+a, "busybox")
	}
	for link, to := range map[string]string{"usr/sbin/mkfs.ext4": "mke2fs", "usr/sbin/mkfs.ext3": "mke2fs", "usr/lib/sftp-server": "openssh/sftp-server"} {
		if t.files[link] == nil {
			t.symlink(link, to)
		}
	}
	return nil
}

// certificates joins the authorities' files into the bundle that curl and wget
// read, as update-ca-certificates does.
func (t *tree) certificates() {
	var all bytes.Buffer
	for _, p := range t.paths() {
		if strings.HasPrefix(p, "usr/share/ca-certificates/") {
			if n := t.files[p]; n.kind() == modeFile {
				all.Write(n.data)
				if !bytes.HasSuffix(n.data, []byte("\n")) {
					all.WriteByte('\n')
				}
			}
			delete(t.files, p)
		}
	}
	delete(t.files, "usr/share/ca-certificates")
	t.put("etc/ssl/certs/ca-certificates.crt", &node{mode: modeFile | 0o644, data: all.Bytes()})
}
