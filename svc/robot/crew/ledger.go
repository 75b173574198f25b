package crew

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/davyxu/cellmesh_demo/svc/game/gameapi"
	"github.com/davyxu/cellmesh_demo/svc/robot/player"
	"github.com/davyxu/cellmesh_demo/svc/robot/robotapi"
)

// ledgerLimit is how long reading the ledger may take.
const ledgerLimit = 2 * time.Minute

// openLedger opens -database, if that is given. The game is there by now, and so
// is its database.
func (c *Crew) openLedger(ctx context.Context) (err error) {
	if c.flags.database != "" {
		c.ledger, err = gameapi.OpenLedger(ctx, c.flags.database)
	}
	return err
}

func (c *Crew) closeLedger() {
	if c.ledger != nil {
		c.ledger.Close() // it was only read
	}
}

// checkLedger holds what the robots were told against what the game has
// written: each acknowledged change is there once, as it was told; of this run
// nothing else is, but what a robot was not told about; and each change begins
// with what the one before has left.
func (c *Crew) checkLedger(ctx context.Context) error {
	if c.ledger == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, ledgerLimit)
	defer cancel()
	for uid, told := range c.run.Told() {
		const more = 16 // than there should be, to see what should not
		changes, err := c.ledger.Newest(ctx, uid, len(told.Done)+len(told.InDoubt)+more)
		if err != nil {
			return err
		}
		c.compareLedger(uid, told, changes)
	}
	return nil
}

func (c *Crew) compareLedger(uid string, told *player.Told, changes []gameapi.Change) {
	complain := func(expected, seen string) {
		c.tally.Violation(robotapi.Ledger, uid, c.run.Now(), expected, seen)
	}
	written := map[string]gameapi.Change{}
	for i, ch := range changes {
		if i > 0 && (ch.Before != changes[i-1].After || ch.Revision != changes[i-1].Revision+1) {
			complain(fmt.Sprintf("change %d to begin with what change %d has left: %+v", changes[i-1].Revision+1, changes[i-1].Revision, changes[i-1].After), fmt.Sprintf("%+v", ch))
		}
		if strings.HasPrefix(ch.RequestID, c.run.ID+"-") {
			written[ch.RequestID] = ch
		}
	}
	for _, d := range told.Done {
		ch, ok := written[d.RequestID]
		delete(written, d.RequestID)
		switch {
		case !ok:
			complain(fmt.Sprintf("the acknowledged change %+v", d), "it is not there")
		case ch.Revision != d.Revision, d.Level != 0 && ch.After.Level != d.Level, d.Money != 0 && ch.After.Money != d.Money:
			complain(fmt.Sprintf("the acknowledged change %+v", d), fmt.Sprintf("%+v", ch))
		}
	}
	for id, ch := range written {
		if !told.InDoubt[id] {
			complain("no change that the robot was not told about", fmt.Sprintf("%+v", ch))
		}
	}
}
