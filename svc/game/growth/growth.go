// Package growth is how a player grows: what a level costs, what it earns, what
// a name may be. It is plain rules without clock, socket or database: each takes
// a player as it is and returns it as it will be, or a [Refusal]. Nothing here
// overflows, falls below zero, or pays for the same moment twice, whatever
// clocks do.
//
// Open growth.go first; tables.go is what game designers change.
package growth

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// MaxMoney is the most gold that a player has: all of it is exact in a
// JavaScript client, too.
const MaxMoney = 1_000_000_000_000_000

// MaxName is the longest name, in characters.
const MaxName = 24

// hour is what income is counted by, in milliseconds.
const hour = int64(time.Hour / time.Millisecond)

// Player is what grows. Gold is counted in whole pieces.
type Player struct {
	Name      string
	Level     int64 // from 1
	Money     int64 // 0 to MaxMoney
	Unclaimed int64 // income earned and not claimed, 0 to MaxMoney
	Since     int64 // Unix milliseconds: what was earned until then is in Unclaimed
}

// Check returns what is wrong with a player that came from elsewhere.
func (p Player) Check() error {
	switch {
	case p.Level < 1:
		return fmt.Errorf("level %d is below 1", p.Level)
	case p.Money < 0 || p.Money > MaxMoney:
		return fmt.Errorf("money %d is not from 0 to %d", p.Money, int64(MaxMoney))
	case p.Unclaimed < 0 || p.Unclaimed > MaxMoney:
		return fmt.Errorf("unclaimed income %d is not from 0 to %d", p.Unclaimed, int64(MaxMoney))
	case p.Since < 0:
		return fmt.Errorf("income counts since %d, which is before 1970", p.Since)
	}
	return nil
}

// New is a new player, called like its uid if that is a name.
func (t *Tables) New(uid string, now time.Time) Player {
	p := Player{Name: "newcomer", Level: 1, Money: t.Start, Since: max(0, now.UnixMilli())}
	if checkName(uid) == nil {
		p.Name = uid
	}
	return p
}

// Upgrade pays for the next level.
func (t *Tables) Upgrade(p Player, now time.Time) (Player, error) {
	price := t.Price(p)
	switch {
	case price == 0:
		return p, refuse(AtTop, "level %d is the highest", p.Level)
	case p.Money < price:
		return p, refuse(TooPoor, "needs %d gold, you have %d", price, p.Money)
	}
	p = t.Earn(p, now) // at the rate of the level that it was earned with
	p.Money -= price
	p.Level++
	return p, nil
}

// Price is what the next level costs, 0 if there is none.
func (t *Tables) Price(p Player) int64 {
	if p.Level > int64(len(t.Prices)) {
		return 0
	}
	return t.Prices[p.Level-1]
}

// Claim pays out what was earned. What does not fit stays unclaimed.
func (t *Tables) Claim(p Player, now time.Time) (Player, error) {
	p = t.Earn(p, now)
	paid := min(p.Unclaimed, MaxMoney-p.Money)
	switch {
	case p.Unclaimed == 0:
		return p, refuse(NothingEarned, "nothing was earned yet: your level earns %d gold an hour", t.income(p))
	case paid == 0:
		return p, refuse(PurseFull, "you have %d gold, more does not fit", p.Money)
	}
	p.Money += paid
	p.Unclaimed -= paid
	return p, nil
}

// Earn counts what was earned until now. A clock that was put back earns
// nothing until it shows a time that was not counted yet; of one that jumps
// ahead, or a long absence, no more than Tables.Hours count.
func (t *Tables) Earn(p Player, now time.Time) Player {
	at := now.UnixMilli()
	if at <= p.Since {
		return p
	}
	spent := min(at-p.Since, t.Hours*hour)
	left, rate := int64(0), t.income(p)
	if rate > 0 {
		p.Unclaimed = min(p.Unclaimed+rate*spent/hour, MaxMoney)
		left = rate * spent % hour / rate // did not make a whole piece: counts next time
	}
	p.Since = at - left
	return p
}

// income is what a player earns in an hour.
func (t *Tables) income(p Player) int64 {
	return t.Income[min(p.Level, int64(len(t.Income)))-1]
}

// Rename gives a player another name. Two may have the same.
func Rename(p Player, name string) (Player, error) {
	if err := checkName(name); err != nil {
		return p, err
	}
	p.Name = name
	return p, nil
}

func checkName(name string) error {
	bad := func(r rune) bool { return !unicode.IsGraphic(r) || r == utf8.RuneError }
	switch {
	case name == "" || strings.TrimSpace(name) != name:
		return refuse(BadName, "a name is not empty, and neither begins nor ends with a space")
	case utf8.RuneCountInString(name) > MaxName:
		return refuse(BadName, "a name has at most %d characters", MaxName)
	case strings.ContainsFunc(name, bad):
		return refuse(BadName, "a name has only characters that can be seen")
	}
	return nil
}

// Why is the kind of a refusal. It is stored: never rename one.
type Why string

// The kinds of refusals.
const (
	TooPoor       Why = "too poor"
	AtTop         Why = "at the top"
	NothingEarned Why = "nothing earned"
	PurseFull     Why = "purse full"
	BadName       Why = "bad name"
)

// Refusal is what the rules do not allow, in words for the player.
type Refusal struct {
	Why  Why
	Text string
}

func (r *Refusal) Error() string { return r.Text }

func refuse(why Why, format string, args ...any) error {
	return &Refusal{why, fmt.Sprintf(format, args...)}
}
