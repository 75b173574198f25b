package hubapi_test

import (
	"testing"

	"github.com/davyxu/cellmesh_demo/svc/hub/hubapi"
	"github.com/davyxu/cellmesh_demo/svc/hub/hubapi/contract"
)

func TestMemory(t *testing.T) {
	contract.Run(t, func(*testing.T) contract.Open {
		var m hubapi.Memory
		return func(svcid string, events hubapi.Events) hubapi.Engine {
			e := m.Open(svcid)
			e.Notify(events)
			return e
		}
	})
}
