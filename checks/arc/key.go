package arc

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
)

// maxKeyFile is larger than any key.
const maxKeyFile = 64 << 10

// readKey reads a private key (PEM; PKCS#8, or PKCS#1 for RSA). What its owner
// alone should know must be his alone: a file that others may read, or that
// anybody else could have written, is refused.
func readKey(name string) (crypto.Signer, error) {
	// Not to wait for a writer, should it be a FIFO.
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if err := private(info); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxKeyFile))
	if err != nil {
		return nil, err
	}
	key, err := parseKey(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return key, nil
}

// private reports what makes a key file less than private.
func private(info os.FileInfo) error {
	if !info.Mode().IsRegular() {
		return errors.New("is no regular file")
	}
	if perm := info.Mode().Perm(); perm&0o027 != 0 {
		return fmt.Errorf("has mode %04o, expected 0640 or less", perm)
	}
	if owner, ok := info.Sys().(*syscall.Stat_t); ok && owner.Uid != 0 && int(owner.Uid) != os.Geteuid() {
		return fmt.Errorf("belongs to uid %d, expected root or uid %d", owner.Uid, os.Geteuid())
	}
	return nil
}

// parseKey reads the one PEM block there should be. Its errors quote nothing of
// the file.
func parseKey(text []byte) (crypto.Signer, error) {
	block, rest := pem.Decode(text)
	if block == nil {
		return nil, errors.New("is not PEM")
	}
	if more, _ := pem.Decode(rest); more != nil {
		return nil, errors.New("has more than one PEM block")
	}
	var key any
	var err error
	switch block.Type {
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	default:
		return nil, errors.New("is not a private key in PKCS#1 or PKCS#8")
	}
	signer, ok := key.(crypto.Signer)
	if err != nil || !ok {
		return nil, errors.New("has a private key that cannot be read")
	}
	return signer, nil
}
