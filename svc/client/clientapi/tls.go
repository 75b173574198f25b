package clientapi

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
)

// TrustTLS makes what Config.TLS wants: servers must have a certificate for the
// address they are reached at, of an authority in the file ca (PEM), or with ca
// empty of one that this system trusts.
func TrustTLS(ca string) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if ca == "" {
		return c, nil
	}
	text, err := os.ReadFile(ca)
	if err != nil {
		return nil, fmt.Errorf("certificates to trust: %w", err)
	}
	c.RootCAs = x509.NewCertPool()
	if !c.RootCAs.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("certificates to trust: there are none in %s", ca)
	}
	return c, nil
}
