package growth

import (
	"errors"
	"fmt"
)

// Key is where the tables are in discovery: one value, so that what belongs
// together changes together.
const Key = "config/game/growth"

// What tables may say.
const (
	maxLevels = 10_000
	maxIncome = 1_000_000_000 // with maxHours, what is multiplied fits into an int64
	maxHours  = 30 * 24
)

// Tables are the numbers of the game. They may change while players play: from
// then on the new ones count, also for time that was not counted yet.
type Tables struct {
	Start  int64   `json:"start"`  // gold of a new player
	Prices []int64 `json:"prices"` // of level 2, 3, ...
	Income []int64 `json:"income"` // gold an hour of level 1, 2, ...
	Hours  int64   `json:"hours"`  // so long at most earns who does not come
}

// Defaults are the tables of a game that has none in discovery.
func Defaults() Tables {
	t := Tables{Start: 100, Hours: 12}
	for level := int64(1); level <= 50; level++ {
		t.Income = append(t.Income, 600*level)
		if level > 1 {
			t.Prices = append(t.Prices, 60*(level-1)*level)
		}
	}
	return t
}

// Validate returns what is wrong with tables.
func (t *Tables) Validate() error {
	if t.Start < 0 || t.Start > MaxMoney {
		return fmt.Errorf("start: %d is not from 0 to %d", t.Start, int64(MaxMoney))
	}
	if len(t.Income) != len(t.Prices)+1 {
		return fmt.Errorf("income has %d numbers and prices %d: it must be one more, as level 1 costs nothing", len(t.Income), len(t.Prices))
	}
	if len(t.Income) > maxLevels {
		return fmt.Errorf("%d levels are more than %d", len(t.Income), maxLevels)
	}
	for i, n := range t.Prices {
		if n < 1 || n > MaxMoney {
			return fmt.Errorf("prices: level %d for %d is not from 1 to %d", i+2, n, int64(MaxMoney))
		}
	}
	for i, n := range t.Income {
		if n < 0 || n > maxIncome {
			return fmt.Errorf("income: %d at level %d is not from 0 to %d", n, i+1, maxIncome)
		}
	}
	if t.Hours < 1 || t.Hours > maxHours {
		return errors.New("hours: not from 1 to 720")
	}
	return nil
}
