package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/gorilla/mux"
	"github.com/openfaas/faas-provider/types"

	"faas-iam.example/tests/interop/internal/reading"
)

const (
	maxReplicas = 5
	// As many redirects as Go's client follows.
	maxRedirects = 10
)

// The part of a function's path that the queue's worker calls with.
var functionPath = regexp.MustCompile(`^/?(?:async-)?function/([^/?]+)([^?]*)`)

// gateway is the gateway's router, and the provider behind it.
type gateway struct {
	router   *mux.Router
	provider *mux.Router
	// Of the request that is being read.
	acts      *reading.Acts
	handled   bool
	streaming bool
	redirects int
}

// answerer is where a handler's answer goes.
type answerer struct {
	header http.Header
	status int
}

func newAnswerer() *answerer { return &answerer{header: http.Header{}} }

func (a *answerer) Header() http.Header { return a.header }

func (a *answerer) Write(text []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return len(text), nil
}

func (a *answerer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
}

func (a *answerer) Flush() {}

func (a *answerer) CloseNotify() <-chan bool { return nil }

func newGateway() *gateway {
	g := &gateway{provider: reading.ProviderRouter(reading.Handlers())}
	g.router = reading.Gateway{
		Forward:   g.forward,
		Scale:     g.scale,
		Logs:      g.logs,
		Info:      g.forward,
		Alert:     g.alone,
		Telemetry: g.forward,
		Health:    g.forward,
		Function:  g.forward,
		Queue:     g.queue,
		Static:    g.alone,
	}.Router()
	return g
}

// read answers for one request: once as it is, and once as it is read when the client asks for a
// stream of events, since that is another proxy in the gateway.
func (g *gateway) read(method, target, body string) string {
	g.acts = &reading.Acts{}
	g.handled = false
	taken := false
	for _, streaming := range []bool{false, true} {
		g.streaming, g.redirects = streaming, 0
		taken = g.serve(g.router, method, target, body) != nil || taken
	}
	verdict := "m"
	if g.handled {
		verdict = "h"
	} else if taken {
		verdict = "r"
	}
	acts := ""
	for _, act := range g.acts.Sorted() {
		acts += "\x00" + act
	}
	return verdict + acts
}

// serve is what a server does with the bytes of a request; nil if it takes them for none.
func (g *gateway) serve(handler http.Handler, method, target, body string) *answerer {
	if strings.ContainsAny(method+target, "\r\n") {
		return nil
	}
	wire := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: gateway\r\nContent-Length: %d\r\n\r\n%s",
		method, target, len(body), body)
	request, err := http.ReadRequest(bufio.NewReader(strings.NewReader(wire)))
	if err != nil {
		return nil
	}
	w := newAnswerer()
	handler.ServeHTTP(w, request.WithContext(g.acts.Context(request.Context())))
	return w
}

// alone is a handler that passes nothing on.
func (g *gateway) alone(http.ResponseWriter, *http.Request) { g.handled = true }

// forward is the gateway's proxy: it writes the decoded path into a new URL, which is parsed again.
func (g *gateway) forward(w http.ResponseWriter, r *http.Request) {
	g.handled = true
	if g.streaming {
		g.pass(w, r, r.URL)
		return
	}
	text := "http://provider:8081" + r.URL.Path
	if r.URL.RawQuery != "" {
		text += "?" + r.URL.RawQuery
	}
	g.passText(w, r, text)
}

func (g *gateway) logs(w http.ResponseWriter, r *http.Request) {
	g.handled = true
	g.passText(w, r, "http://provider:8081/system/logs?"+r.URL.RawQuery)
}

func (g *gateway) passText(w http.ResponseWriter, r *http.Request, text string) {
	if to, err := url.Parse(text); err == nil {
		g.pass(w, r, to)
	}
}

// pass sends a request to the provider, and its redirects back.
func (g *gateway) pass(w http.ResponseWriter, r *http.Request, to *url.URL) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	answer := g.serve(g.provider, r.Method, to.RequestURI(), string(body))
	if answer != nil && answer.header.Get("Location") != "" {
		w.Header().Set("Location", answer.header.Get("Location"))
		w.WriteHeader(answer.status)
	}
}

// scale reads the body and writes it again.
func (g *gateway) scale(w http.ResponseWriter, r *http.Request) {
	g.handled = true
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	var request types.ScaleServiceRequest
	if json.Unmarshal(body, &request) != nil {
		return
	}
	request.Replicas = min(max(request.Replicas, 1), maxReplicas)
	again, err := json.Marshal(request)
	if err != nil {
		return
	}
	r.Body = io.NopCloser(strings.NewReader(string(again)))
	g.forward(w, r)
}

// queue is what the worker of the asynchronous queue does later: it calls the function by way of the
// gateway, and follows redirects, by which a POST becomes a GET.
func (g *gateway) queue(_ http.ResponseWriter, r *http.Request) {
	g.handled = true
	path := "/"
	if parts := functionPath.FindStringSubmatch(r.URL.Path); parts != nil && parts[2] != "" {
		path = parts[2]
	}
	text := "http://gateway:8080/function/" + strings.Trim(mux.Vars(r)["name"], "/") + path
	if r.URL.RawQuery != "" {
		text += "?" + strings.TrimLeft(r.URL.RawQuery, "?")
	}
	to, err := url.Parse(text)
	method := http.MethodPost
	for err == nil && g.redirects < maxRedirects {
		answer := g.serve(g.router, method, to.RequestURI(), "")
		if answer == nil || answer.header.Get("Location") == "" {
			return
		}
		g.redirects++
		method = http.MethodGet
		to, err = to.Parse(answer.header.Get("Location"))
	}
}
