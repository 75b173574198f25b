//go:build !unix

package main

import "context"

// watchStarter cannot tell here whether the starter is gone.
func watchStarter(context.Context, func()) {}
