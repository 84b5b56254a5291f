// Command oracle reads requests as the OpenFaaS gateway and the providers behind it do, with the
// libraries that they use, and says what the providers would act on.
//
// Standard input is a stream of requests, each of them three strings: method, target and body.
// Standard output is a stream of strings, one for each request: a letter, and then every act, each
// after a zero byte. A string is its length, as four bytes of big endian, and its bytes.
//
// The letter is 'm' for a request that the gateway's server does not take, 'r' for one that its router
// sends elsewhere or does not know, and 'h' for one that has a handler. An act is the provider's letter
// ('n' for faas-netes, 'd' for faasd), a space, the action, a space, and the resource.
package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"log"
	"os"
)

const buffered = 1 << 18

func main() {
	if err := answer(os.Stdin, os.Stdout); err != nil {
		log.Fatal(err)
	}
}

func answer(from io.Reader, to io.Writer) error {
	in, out := bufio.NewReaderSize(from, buffered), bufio.NewWriterSize(to, buffered)
	log.SetOutput(io.Discard)
	defer log.SetOutput(os.Stderr)
	gateway := newGateway()
	for {
		method, err := readString(in)
		if errors.Is(err, io.EOF) {
			return out.Flush()
		}
		if err != nil {
			return err
		}
		target, err := readString(in)
		if err != nil {
			return err
		}
		body, err := readString(in)
		if err != nil {
			return err
		}
		if err := writeString(out, gateway.read(method, target, body)); err != nil {
			return err
		}
		if in.Buffered() == 0 {
			if err := out.Flush(); err != nil {
				return err
			}
		}
	}
}

func readString(in *bufio.Reader) (string, error) {
	var length [4]byte
	if _, err := io.ReadFull(in, length[:]); err != nil {
		return "", err
	}
	text := make([]byte, binary.BigEndian.Uint32(length[:]))
	_, err := io.ReadFull(in, text)
	return string(text), err
}

func writeString(out *bufio.Writer, text string) error {
	var length [4]byte
	binary.BigEndian.PutUint32(length[:], uint32(len(text)))
	if _, err := out.Write(length[:]); err != nil {
		return err
	}
	_, err := out.WriteString(text)
	return err
}
