package main

import (
	"bufio"
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"sync"
)

const (
	requestHeader = "Rig-Request"
	// Enough of a credential to know it by.
	suffix = 16
)

// record is what reached one of the parts.
type record struct {
	At     string `json:"at"`
	ID     string `json:"id"`
	Method string `json:"method"`
	Target string `json:"target"`
	// The end of Authorization.
	Authorization string `json:"authorization,omitempty"`
	// The headers that begin with x-, by their names in lower case.
	Headers map[string]string `json:"headers,omitempty"`
	Acts    []string          `json:"acts,omitempty"`
}

// records is the file.
type records struct {
	mutex  sync.Mutex
	file   *os.File
	writer *bufio.Writer
}

func newRecords(path string) (*records, error) {
	file, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	return &records{file: file, writer: bufio.NewWriterSize(file, 1<<20)}, nil
}

func (r *records) write(at string, request *http.Request, acts []string) {
	headers := map[string]string{}
	for name, values := range request.Header {
		if name = strings.ToLower(name); strings.HasPrefix(name, "x-") {
			headers[name] = strings.Join(values, ",")
		}
	}
	authorization := strings.Join(request.Header.Values("Authorization"), ",")
	line, err := json.Marshal(record{
		At:            at,
		ID:            strings.Join(request.Header.Values(requestHeader), ","),
		Method:        request.Method,
		Target:        request.RequestURI,
		Authorization: authorization[max(0, len(authorization)-suffix):],
		Headers:       headers,
		Acts:          acts,
	})
	if err != nil {
		fail(err)
	}
	r.mutex.Lock()
	defer r.mutex.Unlock()
	// A failure shows when the file is closed.
	_, _ = r.writer.Write(append(line, '\n'))
}

func (r *records) close() error {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if err := r.writer.Flush(); err != nil {
		return err
	}
	return r.file.Close()
}
