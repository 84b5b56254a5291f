// Command apiserver runs the real Kubernetes API server over an etcd of its own, in one process, on
// loopback. There are no controllers and no nodes behind it: what the API server itself does is all
// there is.
//
// Started again with the same folder and port, it goes on with the state it had, however it ended.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"
)

const (
	// Within this it is ready, or something is wrong.
	readyWithin = 2 * time.Minute

	// How long the API server may take to answer what it has begun, once it was told to end.
	endWithin = time.Second
)

type options struct {
	dir        string
	etcdDir    string
	port       int
	watchCache bool
}

func main() {
	log.SetFlags(0)
	if err := run(); err != nil {
		log.Fatalf("apiserver: %v", err)
	}
}

func run() error {
	options, err := parse(os.Args[1:])
	if err != nil {
		return err
	}
	server := fmt.Sprintf("https://127.0.0.1:%d", options.port)
	files, err := prepare(options.dir, server)
	if err != nil {
		return fmt.Errorf("cannot prepare %s: %w", options.dir, err)
	}
	store, err := openStore(options.etcdDir)
	if err != nil {
		return fmt.Errorf("cannot start etcd: %w", err)
	}
	defer store.close()

	// This catches SIGTERM and SIGINT: the context of the command ends with the first of them.
	command := app.NewAPIServerCommand()
	command.SetArgs(arguments(options, server, store.endpoint(), files))
	ended := make(chan error, 1)
	go func() { ended <- command.Execute() }()
	go compactOnSignal(command.Context(), store)
	go announce(command.Context(), server, files, ended)
	return wait(command, ended)
}

func parse(args []string) (options, error) {
	var options options
	flags := flag.NewFlagSet("apiserver", flag.ExitOnError)
	flags.StringVar(&options.dir, "dir", "", "the `folder` for everything: keys, tokens, kubeconfig, ca.crt")
	flags.StringVar(&options.etcdDir, "etcd-dir", "", "the `folder` for the data of etcd; etcd in -dir by default")
	flags.IntVar(&options.port, "port", 0, "the `port` to listen on, which the issuer of tokens contains")
	flags.BoolVar(&options.watchCache, "watch-cache", true,
		"serve watches from memory; without, from etcd, where SIGUSR1 makes old ones 410 Gone")
	if err := flags.Parse(args); err != nil {
		return options, err
	}
	if options.dir == "" || options.port == 0 || flags.NArg() > 0 {
		return options, errors.New("usage: apiserver -dir DIR -port PORT [-etcd-dir DIR] [-watch-cache=false]")
	}
	if options.etcdDir == "" {
		options.etcdDir = filepath.Join(options.dir, "etcd")
	}
	return options, nil
}

func arguments(options options, server, etcd string, files files) []string {
	return []string{
		"--etcd-servers=" + etcd,
		fmt.Sprintf("--watch-cache=%t", options.watchCache),
		"--bind-address=127.0.0.1",
		// Otherwise it looks for the address of a network, which a sandbox need not have.
		"--advertise-address=127.0.0.1",
		fmt.Sprintf("--secure-port=%d", options.port),
		"--tls-cert-file=" + files.certificate,
		"--tls-private-key-file=" + files.certificateKey,
		"--service-cluster-ip-range=10.0.0.0/24",
		"--service-account-issuer=" + server,
		"--service-account-jwks-uri=" + server + "/openid/v1/jwks",
		"--api-audiences=" + server,
		"--service-account-signing-key-file=" + files.serviceAccountKey,
		"--service-account-key-file=" + files.serviceAccountKey,
		"--authorization-mode=RBAC",
		"--token-auth-file=" + files.tokens,
		"--audit-policy-file=" + files.auditPolicy,
		"--audit-log-path=" + files.auditLog,
		// Nobody is to find this server through its own Service.
		"--endpoint-reconciler-type=none",
		"--profiling=false",
	}
}

// Prints the line that tests wait for.
func announce(ctx context.Context, server string, files files, ended chan<- error) {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(files.ca)
	client := http.Client{
		Timeout:   5 * time.Second,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, DisableKeepAlives: true},
	}
	for {
		last := ready(ctx, &client, server)
		if last == nil {
			fmt.Println("ready", server)
			return
		}
		select {
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				ended <- fmt.Errorf("not ready after %v: %w", readyWithin, last)
			}
			return
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func ready(ctx context.Context, client *http.Client, server string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, server+"/readyz", nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(response.Body, 4096))
		return fmt.Errorf("%s: %s", response.Status, text)
	}
	return nil
}

func compactOnSignal(ctx context.Context, store *store) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGUSR1)
	for {
		select {
		case <-ctx.Done():
			return
		case <-signals:
		}
		revision, err := store.compact(ctx)
		if err != nil {
			log.Printf("apiserver: cannot compact: %v", err)
			continue
		}
		fmt.Println("compacted", revision)
	}
}

// Waits until the API server has ended, or was told to and had the time.
func wait(command *cobra.Command, ended <-chan error) error {
	select {
	case err := <-ended:
		return err
	case <-command.Context().Done():
	}
	// Open watches would keep it for a minute.
	select {
	case err := <-ended:
		return err
	case <-time.After(endWithin):
		return nil
	}
}
