package main

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"k8s.io/client-go/util/cert"
)

// What service accounts ask for is written down: who, which verb, and on what.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
  userGroups: ["system:serviceaccounts"]
- level: None
`

// What the API server reads from files, and what clients need.
type files struct {
	certificate       string
	certificateKey    string
	serviceAccountKey string
	tokens            string
	auditPolicy       string
	auditLog          string
	ca                []byte
}

// Makes the files in dir that are not there yet.
func prepare(dir, server string) (files, error) {
	in := func(name string) string { return filepath.Join(dir, name) }
	files := files{
		certificate:       in("tls.crt"),
		certificateKey:    in("tls.key"),
		serviceAccountKey: in("service-account.key"),
		tokens:            in("tokens.csv"),
		auditPolicy:       in("audit.yaml"),
		auditLog:          in("audit.log"),
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return files, err
	}
	ca, err := makeCertificate(files.certificate, files.certificateKey)
	if err != nil {
		return files, err
	}
	files.ca = ca
	if err := writeOnce(files.serviceAccountKey, makeKey); err != nil {
		return files, err
	}
	if err := writeOnce(in("token"), makeToken); err != nil {
		return files, err
	}
	token, err := os.ReadFile(in("token"))
	if err != nil {
		return files, err
	}
	written := map[string]string{
		files.auditPolicy: auditPolicy,
		files.tokens:      fmt.Sprintf("%s,admin,admin,\"system:masters\"\n", token),
		in("ca.crt"):      string(ca),
		in("kubeconfig"):  kubeconfig(server, ca, string(token)),
	}
	for path, text := range written {
		if err := write(path, []byte(text)); err != nil {
			return files, err
		}
	}
	return files, nil
}

// Makes a certificate for loopback with an authority of its own, and returns the latter's.
func makeCertificate(path, keyPath string) ([]byte, error) {
	err := writeOnce(path, func() ([]byte, error) {
		loopback := []net.IP{net.IPv4(127, 0, 0, 1)}
		chain, key, err := cert.GenerateSelfSignedCertKey("localhost", loopback, nil)
		if err != nil {
			return nil, err
		}
		return chain, write(keyPath, key)
	})
	if err != nil {
		return nil, err
	}
	chain, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	last := bytes.LastIndex(chain, []byte("-----BEGIN CERTIFICATE-----"))
	if last < 0 {
		return nil, errors.New("no certificate in " + path)
	}
	return chain[last:], nil
}

func makeKey() ([]byte, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

func makeToken() ([]byte, error) {
	return []byte(strings.ToLower(rand.Text())), nil
}

func kubeconfig(server string, ca []byte, token string) string {
	return fmt.Sprintf(`apiVersion: v1
kind: Config
current-context: admin
contexts:
- name: admin
  context:
    cluster: apiserver
    user: admin
clusters:
- name: apiserver
  cluster:
    server: %s
    certificate-authority-data: %s
users:
- name: admin
  user:
    token: %s
`, server, base64.StdEncoding.EncodeToString(ca), token)
}

func writeOnce(path string, content func() ([]byte, error)) error {
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	made, err := content()
	if err != nil {
		return err
	}
	return write(path, made)
}

// Nobody else can read it, and it is never there in part.
func write(path string, content []byte) error {
	draft := path + ".draft"
	if err := os.WriteFile(draft, content, 0o600); err != nil {
		return err
	}
	return os.Rename(draft, path)
}
