package lab

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/nats-io/nkeys"

	"skerry/internal/config"
)

// userSeed is the file with the nkey seed of one process.
func (r *Region) userSeed(host, kind string) string {
	return r.Path("ca", "users", host+"-"+kind+".nk")
}

// OperatorSeed is the file with the nkey seed that people use.
func (r *Region) OperatorSeed() string { return r.Path("ca", "users", "operator.nk") }

// users keeps one nkey for each process and one for the operator, and answers
// all of them as the bus servers need to know them.
func (r *Region) users() ([]config.User, error) {
	if err := os.MkdirAll(r.Path("ca", "users"), 0o700); err != nil {
		return nil, fmt.Errorf("lab: %w", err)
	}
	pub, err := keepUser(r.OperatorSeed())
	if err != nil {
		return nil, err
	}
	users := []config.User{{Nkey: pub, Kind: config.Operator, Host: config.Operator}}
	for _, p := range r.Programs() {
		pub, err := keepUser(r.userSeed(p.Host.Name, p.Kind))
		if err != nil {
			return nil, err
		}
		users = append(users, config.User{Nkey: pub, Kind: p.Kind, AZ: p.Host.AZ, Host: p.Host.Name})
	}
	return users, nil
}

// keepUser answers the public key of a seed file, which is made when missing.
func keepUser(path string) (string, error) {
	seed, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		kp, err := nkeys.CreateUser()
		if err != nil {
			return "", fmt.Errorf("lab: %w", err)
		}
		if seed, err = kp.Seed(); err != nil {
			return "", fmt.Errorf("lab: %w", err)
		}
		if err := WriteFile(path, append(seed, '\n'), 0o600); err != nil {
			return "", err
		}
	} else if err != nil {
		return "", fmt.Errorf("lab: %w", err)
	}
	kp, err := nkeys.FromSeed(bytes.TrimSpace(seed))
	if err != nil {
		return "", fmt.Errorf("%s is not an nkey seed: remove it and run `skerry up` again (%w)", filepath.Base(path), err)
	}
	return kp.PublicKey()
}
