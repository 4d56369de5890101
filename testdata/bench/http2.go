package main

import (
	"encoding/binary"
	"sync"
)

// calls counts what clients of gRPC send through a relay: the frames of HTTP/2 that hold
// messages, one each for what is as small as a lock's, and the pings.
type calls struct {
	mu              sync.Mutex
	streams         map[int]*stream // by connection
	messages, pings int
}

type stream struct {
	begun bool   // the preface is behind it
	rest  []byte // what is no whole frame yet
}

// What a connection of HTTP/2 begins with, and its frames (RFC 9113).
const (
	preface   = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	frameHead = 9
	frameData = 0
	framePing = 6
	flagAck   = 1 // the answer to a ping
)

func newCalls() *calls { return &calls{streams: map[int]*stream{}} }

// see takes what a client has sent.
func (c *calls) see(conn int, sent []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.streams[conn]
	if s == nil {
		s = &stream{}
		c.streams[conn] = s
	}
	s.rest = append(s.rest, sent...)
	if !s.begun {
		if len(s.rest) < len(preface) {
			return
		}
		s.begun, s.rest = true, s.rest[len(preface):]
	}
	for len(s.rest) >= frameHead {
		size := int(binary.BigEndian.Uint32(s.rest) >> 8) // 24 bits
		kind, flags := s.rest[3], s.rest[4]
		if len(s.rest) < frameHead+size {
			return
		}
		switch {
		case kind == frameData && size > 0:
			c.messages++
		case kind == framePing && flags&flagAck == 0:
			c.pings++
		}
		s.rest = s.rest[frameHead+size:]
	}
}

// counts are how many messages and pings there have been so far.
func (c *calls) counts() (messages, pings int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.messages, c.pings
}
