package agentapi

import (
	"fmt"
	"slices"

	"github.com/davyxu/cellmesh_demo/basefx/link"
	"github.com/davyxu/cellmesh_demo/proto/pb"
)

// maxGroups is how many groups a client can be in: agents refuse more.
const maxGroups = 256

// Join puts the client into a group, kept by its agent until the client leaves
// or its connection ends. A name has 1 to 255 bytes and means the same to all
// services: the package doc lists whose is whose. A client is in 256 groups at
// most.
func (c *Client) Join(group string) error {
	if err := checkGroup(group); err != nil {
		return err
	}
	c.joining.Lock()
	defer c.joining.Unlock()
	if !slices.Contains(c.groups, group) && len(c.groups) < maxGroups {
		c.groups = append(c.groups, group)
	}
	return c.control(&pb.ClientJoin{Group: group})
}

// Leave takes the client out of a group.
func (c *Client) Leave(group string) error {
	if err := checkGroup(group); err != nil {
		return err
	}
	c.joining.Lock()
	defer c.joining.Unlock()
	if i := slices.Index(c.groups, group); i >= 0 {
		c.groups = slices.Delete(c.groups, i, i+1)
	}
	return c.control(&pb.ClientLeave{Group: group})
}

// Groups are the groups that the client is in: those it was in when it was
// introduced here, and what Join and Leave have changed since. What other
// services change meanwhile is not among them.
func (c *Client) Groups() []string {
	c.joining.Lock()
	defer c.joining.Unlock()
	return slices.Clone(c.groups)
}

func (c *Client) setGroups(groups []string) {
	c.joining.Lock()
	defer c.joining.Unlock()
	c.groups = groups
}

func checkGroup(group string) error {
	if group == "" || len(group) > link.MaxGroup {
		return fmt.Errorf("group name of %d bytes: 1 to %d are allowed", len(group), link.MaxGroup)
	}
	return nil
}

// MaxName is the longest name of a player in bytes.
const MaxName = 256

func checkName(name string) error {
	if len(name) > MaxName {
		return fmt.Errorf("player's name of %d bytes: at most %d are allowed", len(name), MaxName)
	}
	return nil
}
