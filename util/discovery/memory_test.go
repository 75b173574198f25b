package discovery_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/davyxu/cellmesh_demo/util/discovery"
	"github.com/davyxu/cellmesh_demo/util/discovery/contract"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestMemoryContract(t *testing.T) {
	contract.Run(t, func(t *testing.T) contract.Open { return discovery.NewMemory().Open })
}
