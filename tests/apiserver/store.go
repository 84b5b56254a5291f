package main

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
)

const (
	storeWithin   = 30 * time.Second
	compactWithin = 10 * time.Second
	closeWithin   = time.Second
)

// The etcd in this process.
type store struct {
	etcd   *embed.Etcd
	client *clientv3.Client
}

// Opens the data in dir, or begins anew.
func openStore(dir string) (*store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	anyPort := url.URL{Scheme: "http", Host: "127.0.0.1:0"}
	config := embed.NewConfig()
	config.Dir = dir
	config.ListenClientUrls = []url.URL{anyPort}
	config.AdvertiseClientUrls = []url.URL{anyPort}
	config.ListenPeerUrls = []url.URL{anyPort}
	config.AdvertisePeerUrls = []url.URL{anyPort}
	config.InitialCluster = config.InitialClusterFromName(config.Name)
	// What was written survives the end of the process all the same, only not that of the machine.
	config.UnsafeNoFsync = true
	config.LogLevel = "error"
	config.LogOutputs = []string{"stderr"}
	etcd, err := embed.StartEtcd(config)
	if err != nil {
		return nil, err
	}
	select {
	case <-etcd.Server.ReadyNotify():
		return &store{etcd: etcd, client: v3client.New(etcd.Server)}, nil
	case err = <-etcd.Err():
	case <-time.After(storeWithin):
		err = fmt.Errorf("not ready after %v", storeWithin)
	}
	etcd.Close()
	return nil, err
}

// Where it listens.
func (s *store) endpoint() string {
	return "http://" + s.etcd.Clients[0].Addr().String()
}

// Forgets all revisions before the present one, which it returns.
func (s *store) compact(ctx context.Context) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, compactWithin)
	defer cancel()
	present, err := s.client.Get(ctx, "/", clientv3.WithCountOnly())
	if err != nil {
		return 0, err
	}
	revision := present.Header.Revision
	_, err = s.client.Compact(ctx, revision, clientv3.WithCompactPhysical())
	return revision, err
}

// Ends it, as far as that goes while somebody is still connected.
func (s *store) close() {
	closed := make(chan struct{})
	go func() {
		s.etcd.Close()
		close(closed)
	}()
	select {
	case <-closed:
	case <-time.After(closeWithin):
	}
}
