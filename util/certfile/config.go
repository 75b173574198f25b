package certfile

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
)

// Server returns the configuration of a server with the certificate in the file cert, followed there by those between it
// and a trusted one if there are any, and its key in the file key; both PEM. log may not be nil.
func Server(cert, key string, log *slog.Logger) (*tls.Config, error) {
	w, err := watch("certificate", []string{cert, key}, log, func() (*tls.Certificate, error) {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return nil, fmt.Errorf("certificate %s with key %s: %w", cert, key, err)
		}
		return &pair, nil
	})
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return w.get(), nil },
	}, nil
}

// Client returns the configuration of a client that trusts the certificates in the PEM file ca and no other: those of
// authorities, or that of the server itself. The server's certificate must be for host, a name or an IP address. log may
// not be nil.
func Client(ca, host string, log *slog.Logger) (*tls.Config, error) {
	w, err := watch("trusted certificates", []string{ca}, log, func() (*x509.CertPool, error) {
		text, err := os.ReadFile(ca)
		if err != nil {
			return nil, fmt.Errorf("trusted certificates: %w", err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("trusted certificates: %s has no certificate in PEM", ca)
		}
		return pool, nil
	})
	if err != nil {
		return nil, err
	}
	if host == "" {
		return nil, errors.New("trusted certificates: no host to look for in the server's certificate")
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		ServerName: host,
		// The library's own check has its roots from the beginning and keeps them. Ours is the same, with today's.
		InsecureSkipVerify: true,
		VerifyConnection: func(s tls.ConnectionState) error {
			o := x509.VerifyOptions{Roots: w.get(), DNSName: host, Intermediates: x509.NewCertPool()}
			for _, c := range s.PeerCertificates[1:] {
				o.Intermediates.AddCert(c)
			}
			if _, err := s.PeerCertificates[0].Verify(o); err != nil {
				return &tls.CertificateVerificationError{UnverifiedCertificates: s.PeerCertificates, Err: err}
			}
			return nil
		},
	}, nil
}
