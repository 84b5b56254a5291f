package main

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/openfaas/faas-provider/types"
)

const workers = 4

// queue is where the gateway puts calls, and a worker that makes them: with a POST to the gateway, all
// headers of the first request, and redirects followed.
type queue struct {
	calls   chan *types.QueueRequest
	running sync.WaitGroup
	gateway string
	records *records
	client  http.Client
}

func newQueue(records *records, gateway string) *queue {
	q := &queue{calls: make(chan *types.QueueRequest, 1<<16), gateway: gateway, records: records}
	q.client.Transport = &http.Transport{MaxIdleConnsPerHost: workers}
	q.client.Timeout = timeout
	for range workers {
		go func() {
			for call := range q.calls {
				q.call(call)
				q.running.Done()
			}
		}()
	}
	return q
}

// Queue takes a call from the gateway.
func (q *queue) Queue(call *types.QueueRequest) error {
	q.running.Add(1)
	q.calls <- call
	return nil
}

func (q *queue) drain() { q.running.Wait() }

func (q *queue) call(call *types.QueueRequest) {
	path, query := call.Path, ""
	if path == "" {
		path = "/"
	}
	if call.QueryString != "" {
		query = "?" + strings.TrimLeft(call.QueryString, "?")
	}
	url := "http://" + q.gateway + "/function/" + strings.Trim(call.Function, "/") + path + query
	request, err := http.NewRequest(http.MethodPost, url, bytes.NewReader(call.Body))
	if err != nil {
		return
	}
	for name, values := range call.Header {
		request.Header[name] = values
	}
	request.RequestURI = url
	q.records.write("worker", request, nil)
	request.RequestURI = ""
	answer, err := q.client.Do(request)
	if err != nil {
		return
	}
	_, _ = io.Copy(io.Discard, answer.Body)
	_ = answer.Body.Close()
}
