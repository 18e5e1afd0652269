package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"skerry/deploy/lab"
)

func endpoint(r *lab.Region) string { return fmt.Sprintf("http://127.0.0.1:%d", r.Ports["api"]) }
func busURL(r *lab.Region) string   { return fmt.Sprintf("tls://127.0.0.1:%d", r.Ports["bus"]) }

// variable is one name and value of the environment of a region's client.
type variable struct{ name, value string }

// variables are what the AWS CLI, SDKs, euca2ools and the NATS CLI read.
func variables(r *lab.Region, k keys) []variable {
	return []variable{
		{"AWS_ACCESS_KEY_ID", k.AccessKey},
		{"AWS_SECRET_ACCESS_KEY", k.Secret},
		{"AWS_DEFAULT_REGION", r.Name},
		{"AWS_ENDPOINT_URL", endpoint(r)},
		{"SKERRY_ENDPOINT", endpoint(r)},
		{"SKERRY_DIR", r.Dir()},
		{"NATS_URL", busURL(r)},
		{"NATS_NKEY", r.OperatorSeed()},
		{"NATS_CA", r.Path("ca", "ca.pem")},
		// Names that euca2ools and the older Amazon tools read.
		{"EC2_URL", endpoint(r)},
		{"EC2_ACCESS_KEY", k.AccessKey},
		{"EC2_SECRET_KEY", k.Secret},
		{"AWS_ACCESS_KEY", k.AccessKey},
		{"AWS_SECRET_KEY", k.Secret},
		{"EC2_ACCOUNT_NUMBER", k.AccountID},
		{"EC2_USER_ID", k.AccountID},
		{"AWS_CREDENTIAL_FILE", r.Path("aws-credentials")},
	}
}

type envCmd struct{}

// Run prints exports and nothing else.
func (envCmd) Run(e *env) error {
	r, err := e.region()
	if err != nil {
		return err
	}
	k, err := readKeys(r)
	if err != nil {
		return problem{err, "skerry up" + e.dirFlag()}
	}
	vs := variables(r, k)
	m := map[string]string{}
	for _, v := range vs {
		m[v.name] = v.value
	}
	return e.answer(m, func() {
		for _, v := range vs {
			fmt.Fprintf(e.out, "export %s=%s\n", v.name, quote(v.value))
		}
	})
}

type awsCmd struct {
	Args []string `arg:"" optional:"" help:"Arguments of the AWS CLI."`
}

// Run becomes the AWS CLI.
func (c *awsCmd) Run(e *env) error {
	path, err := awsPath()
	if err != nil {
		return err
	}
	vars, err := e.environ()
	if err != nil {
		return err
	}
	return syscall.Exec(path, append([]string{"aws"}, c.Args...), vars)
}

func awsPath() (string, error) {
	path, err := exec.LookPath("aws")
	if err != nil {
		return "", problem{errors.New("the AWS CLI is not installed: there is no program aws"), "apt-get install awscli"}
	}
	return path, nil
}

// environ is this process's environment with the region's variables. A profile
// would win over keys, so it is left out.
func (e *env) environ() ([]string, error) {
	r, err := e.region()
	if err != nil {
		return nil, err
	}
	k, err := readKeys(r)
	if err != nil {
		return nil, problem{err, "skerry up" + e.dirFlag()}
	}
	var out []string
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(v, "=")
		switch name {
		case "AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN", "AWS_REGION":
		default:
			out = append(out, v)
		}
	}
	for _, v := range variables(r, k) {
		out = append(out, v.name+"="+v.value)
	}
	return out, nil
}

// writeClientFiles leaves what clients read: the keys, the credential file of
// the older Amazon tools, and a context of the NATS CLI.
func writeClientFiles(r *lab.Region, k keys) error {
	b, err := json.MarshalIndent(k, "", "  ")
	if err != nil {
		return err
	}
	if err := lab.WriteFile(r.Path("credentials.json"), append(b, '\n'), 0o600); err != nil {
		return err
	}
	old := fmt.Sprintf("AWSAccessKeyId=%s\nAWSSecretKey=%s\n", k.AccessKey, k.Secret)
	if err := lab.WriteFile(r.Path("aws-credentials"), []byte(old), 0o600); err != nil {
		return err
	}
	path, uid, gid, err := contextFile(r)
	if err != nil {
		return err
	}
	if other, err := readContext(path); err == nil && other.Nkey != r.OperatorSeed() {
		// The file names another directory's region, or is a person's own.
		return nil
	}
	if err := mkdirAs(filepath.Dir(path), uid, gid); err != nil {
		return err
	}
	c := natsContext{Description: "Skerry region " + r.Name, URL: busURL(r), Nkey: r.OperatorSeed(), CA: r.Path("ca", "ca.pem")}
	if b, err = json.MarshalIndent(c, "", "  "); err != nil {
		return err
	}
	if err := lab.WriteFile(path, append(b, '\n'), 0o600); err != nil {
		return err
	}
	return os.Chown(path, uid, gid)
}

// natsContext is a context of the NATS CLI, as far as a region needs it.
type natsContext struct {
	Description string `json:"description"`
	URL         string `json:"url"`
	Nkey        string `json:"nkey"`
	CA          string `json:"ca"`
}

// contextFile is where the NATS CLI looks for the region's context: with the
// person who called sudo, when somebody did.
func contextFile(r *lab.Region) (path string, uid, gid int, err error) {
	uid, gid = os.Getuid(), os.Getgid()
	base := os.Getenv("XDG_CONFIG_HOME")
	if base == "" {
		// The NATS CLI asks the password file, not $HOME.
		if s := os.Getenv("SUDO_UID"); uid == 0 && s != "" {
			if n, err := strconv.Atoi(s); err == nil {
				uid = n
			}
		}
		u, err := user.LookupId(strconv.Itoa(uid))
		if err != nil {
			return "", 0, 0, fmt.Errorf("home of user %d: %w", uid, err)
		}
		if gid, err = strconv.Atoi(u.Gid); err != nil {
			return "", 0, 0, fmt.Errorf("group of user %d: %w", uid, err)
		}
		base = filepath.Join(u.HomeDir, ".config")
	}
	return filepath.Join(base, "nats", "context", "skerry-"+r.Name+".json"), uid, gid, nil
}

// mkdirAs makes missing directories that belong to a person.
func mkdirAs(dir string, uid, gid int) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	if err := mkdirAs(filepath.Dir(dir), uid, gid); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return os.Chown(dir, uid, gid)
}

func readContext(path string) (natsContext, error) {
	var c natsContext
	b, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(b, &c)
	}
	return c, err
}

// removeContext removes the region's context, but no other.
func removeContext(r *lab.Region) error {
	path, _, _, err := contextFile(r)
	if err != nil {
		return err
	}
	if c, err := readContext(path); err != nil || c.Nkey != r.OperatorSeed() {
		return nil
	}
	return os.Remove(path)
}
