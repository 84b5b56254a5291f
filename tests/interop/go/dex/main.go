// Command dex runs the real Dex: as a library, in memory, on loopback.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/dexidp/dex/server"
	"github.com/dexidp/dex/server/authflow"
	"github.com/dexidp/dex/server/connectors"
	"github.com/dexidp/dex/server/signer"
	"github.com/dexidp/dex/storage"
	"github.com/dexidp/dex/storage/memory"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/crypto/bcrypt"
)

// How long an ID token is good for.
const validFor = time.Hour

func main() {
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	listen := flag.String("listen", "", "the `host:port` to listen on")
	public := flag.String("public-client", "", "a client without a secret, `id=redirect-url`")
	machine := flag.String("machine-client", "", "a client with a secret and no user, `id=secret`")
	var passwords []storage.Password
	flag.Func("user", "somebody who may sign in, `email=password=group`", func(text string) error {
		user, err := parseUser(text)
		passwords = append(passwords, user)
		return err
	})
	flag.Parse()

	clients, err := parseClients(*public, *machine)
	if err != nil {
		return err
	}
	handler, err := newServer("http://"+*listen+"/dex", clients, passwords)
	if err != nil {
		return err
	}
	return http.ListenAndServe(*listen, handler)
}

func newServer(issuer string, clients []storage.Client, passwords []storage.Password) (*server.Server, error) {
	ctx := context.Background()
	logger := slog.New(slog.NewTextHandler(os.Stderr, nil))
	store := memory.New(logger)
	for _, client := range clients {
		if err := store.CreateClient(ctx, client); err != nil {
			return nil, err
		}
	}
	for _, password := range passwords {
		if err := store.CreatePassword(ctx, password); err != nil {
			return nil, err
		}
	}
	local := storage.Connector{ID: connectors.LocalConnector, Type: connectors.LocalConnector, Name: "Email"}
	if err := store.CreateConnector(ctx, local); err != nil {
		return nil, err
	}
	keys := signer.LocalConfig{KeysRotationPeriod: "6h"}
	signing, err := keys.Open(ctx, store, validFor, time.Now, logger)
	if err != nil {
		return nil, err
	}
	return server.NewServer(ctx, server.Config{
		Issuer:             issuer,
		Storage:            store,
		Signer:             signing,
		SkipApprovalScreen: true,
		IDTokensValidFor:   validFor,
		PKCE:               authflow.PKCEConfig{Enforce: true, CodeChallengeMethodsSupported: []string{"S256"}},
		Logger:             logger,
		PrometheusRegistry: prometheus.NewRegistry(),
	})
}

func parseUser(text string) (storage.Password, error) {
	parts := strings.Split(text, "=")
	if len(parts) != 3 {
		return storage.Password{}, errors.New("not email=password=group")
	}
	hash, err := bcrypt.GenerateFromPassword([]byte(parts[1]), bcrypt.DefaultCost)
	if err != nil {
		return storage.Password{}, err
	}
	name, _, _ := strings.Cut(parts[0], "@")
	return storage.Password{
		Email: parts[0], Hash: hash, Username: name, UserID: "id-of-" + name, Groups: []string{parts[2]},
	}, nil
}

func parseClients(public, machine string) ([]storage.Client, error) {
	id, redirect, found := strings.Cut(public, "=")
	if !found {
		return nil, fmt.Errorf("-public-client %q is not id=redirect-url", public)
	}
	machineID, secret, found := strings.Cut(machine, "=")
	if !found {
		return nil, errors.New("-machine-client is not id=secret")
	}
	return []storage.Client{
		{ID: id, Name: id, Public: true, RedirectURIs: []string{redirect}},
		{ID: machineID, Name: machineID, Secret: secret},
	}, nil
}
