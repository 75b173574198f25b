package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// measureEtcd measures an etcd of one node with its defaults, which include fsync. Its client here is a few lines of gRPC
// over Go's own HTTP/2.
func measureEtcd(ctx context.Context, o options, dir string, writers, conns int) (writing, error) {
	client, peer, err := freePorts()
	if err != nil {
		return writing{}, err
	}
	peerURL := "http://" + peer
	cmd := exec.Command(o.etcd, "--data-dir="+dir, "--listen-client-urls=http://"+client, "--advertise-client-urls=http://"+client,
		"--listen-peer-urls="+peerURL, "--initial-advertise-peer-urls="+peerURL, "--initial-cluster=default="+peerURL, "--log-level=error")
	var log bytes.Buffer
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		return writing{}, err
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	clients := make([]*http.Client, conns)
	for i := range clients {
		clients[i] = newEtcdClient()
		defer clients[i].CloseIdleConnections()
	}
	puts := make([]put, writers)
	for i := range puts {
		c := clients[i%conns]
		puts[i] = func(ctx context.Context, key, value string) error { return etcdPut(ctx, c, client, key, value) }
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if err := puts[0](ctx, "ready", "x"); err == nil {
			break
		} else if time.Now().After(deadline) {
			return writing{}, fmt.Errorf("etcd does not become ready: %w\n%s", err, log.String())
		}
	}
	server := fmt.Sprint(cmd.Process.Pid)
	return measure(ctx, o.duration, puts, func() time.Duration { return cpuOf(server) })
}

func freePorts() (a, b string, err error) {
	l1, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", "", err
	}
	defer l1.Close()
	l2, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", "", err
	}
	defer l2.Close()
	return l1.Addr().String(), l2.Addr().String(), nil
}

func newEtcdClient() *http.Client {
	var p http.Protocols
	p.SetUnencryptedHTTP2(true)
	return &http.Client{Transport: &http.Transport{Protocols: &p}}
}

// etcdPut is the call etcdserverpb.KV/Put.
func etcdPut(ctx context.Context, c *http.Client, addr, key, value string) error {
	var m []byte
	m = protowire.AppendTag(m, 1, protowire.BytesType)
	m = protowire.AppendString(m, key)
	m = protowire.AppendTag(m, 2, protowire.BytesType)
	m = protowire.AppendString(m, value)
	frame := make([]byte, 5, 5+len(m))
	binary.BigEndian.PutUint32(frame[1:], uint32(len(m)))
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+addr+"/etcdserverpb.KV/Put", bytes.NewReader(append(frame, m...)))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/grpc")
	req.Header.Set("TE", "trailers")
	resp, err := c.Do(req)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return err
	}
	status := resp.Trailer.Get("Grpc-Status")
	if status == "" {
		status = resp.Header.Get("Grpc-Status")
	}
	if status != "0" {
		return fmt.Errorf("etcd: status %s: %s%s", status, resp.Trailer.Get("Grpc-Message"), resp.Header.Get("Grpc-Message"))
	}
	return nil
}
