package console

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/davyxu/cellmesh_demo/proto/pb"
)

// playerWords say what the game has answered.
func playerWords(m proto.Message) string {
	switch p := m.(type) {
	case *pb.PlayerACK:
		next := fmt.Sprintf("the next level costs %d", p.NextPrice)
		if p.NextPrice == 0 {
			next = "there is no higher one"
		}
		return fmt.Sprintf("%s: level %d, %d gold, %d to claim; %s", clean(p.Name), p.Level, p.Money, p.Unclaimed, next)
	case *pb.UpgradeACK:
		return fmt.Sprintf("level %d for %d gold, you have %d", p.Level, p.Paid, p.Money)
	case *pb.ClaimACK:
		return fmt.Sprintf("claimed %d gold, you have %d", p.Claimed, p.Money)
	case *pb.RenameACK:
		return "you are called " + clean(p.Name)
	}
	return ""
}
