package scenario

import (
	"time"

	"github.com/davyxu/cellmesh_demo/svc/robot/player"
)

// play is what players do: they grow, talk, look, and seldom shout.
func play(r *player.Robot) {
	echo, account, talker := newEchoer(r), newAccount(r), newTalker(r)
	r.Pace(func(due time.Duration) {
		switch dice := r.Rand().IntN(100); {
		case dice < 2 && talker.canSay(toWorld):
			talker.say(toWorld, due)
		case dice < 20:
			talker.say(toRoom, due)
		case dice < 30 && talker.canSay(toPartner):
			talker.say(toPartner, due)
		case dice < 33:
			talker.who(due)
		case dice < 34:
			talker.history(due)
		case dice < 35:
			talker.leave(due)
		case dice < 36:
			account.rename(due)
		case dice < 75:
			account.act(due)
		default:
			echo.send(due)
		}
	})
}
