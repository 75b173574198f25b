package growth

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

var epoch = time.UnixMilli(1_700_000_000_000)

// Any sequence of operations, under any clock: money comes from the start and
// from claims and goes into levels, nothing falls below zero or overflows, and no
// moment is paid for twice.
func TestNothingIsMadeUp(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		tables := randomTables(r)
		p := tables.New("alice", epoch)
		now, latest := epoch, epoch
		balance := p.Money
		// What the best rate would have earned in all the time that clocks have shown.
		best := int64(0)
		for _, n := range tables.Income {
			best = max(best, n)
		}
		total := int64(0)
		for range 200 {
			switch r.IntN(8) {
			case 0: // put back
				now = now.Add(-time.Duration(r.Int64N(int64(100 * time.Hour))))
			case 1: // a jump ahead
				now = now.Add(time.Duration(r.Int64N(int64(10_000 * time.Hour))))
			default:
				now = now.Add(time.Duration(r.Int64N(int64(time.Minute))))
			}
			if now.After(latest) {
				latest = now
			}
			before := p
			var err error
			switch r.IntN(3) {
			case 0:
				if p, err = tables.Upgrade(p, now); err == nil {
					balance -= before.Money - p.Money
					if p.Level != before.Level+1 || before.Money-p.Money != tables.Prices[before.Level-1] {
						t.Fatalf("seed %d: %+v upgraded to %+v", seed, before, p)
					}
				}
			case 1:
				if p, err = tables.Claim(p, now); err == nil {
					gained := p.Money - before.Money
					balance, total = balance+gained, total+gained
					if gained <= 0 {
						t.Fatalf("seed %d: claimed %d", seed, gained)
					}
				}
			case 2:
				p = tables.Earn(p, now)
			}
			var no *Refusal
			if err != nil && !errors.As(err, &no) {
				t.Fatal(err)
			}
			if err := p.Check(); err != nil || p.Money != balance || p.Since < before.Since {
				t.Fatalf("seed %d: %+v after %+v, balance %d: %v", seed, p, before, balance, err)
			}
		}
		most := float64(best) * latest.Sub(epoch).Hours()
		if got := float64(total + p.Unclaimed); got > most+1 {
			t.Fatalf("seed %d: %v gold earned in %v, at %d an hour at most", seed, got, latest.Sub(epoch), best)
		}
	}
}

func randomTables(r *rand.Rand) *Tables {
	t := &Tables{Start: r.Int64N(1000), Hours: 1 + r.Int64N(maxHours)}
	large := []int64{1000, maxIncome}[r.IntN(2)]
	for range 1 + r.IntN(20) {
		t.Income = append(t.Income, r.Int64N(large+1))
		t.Prices = append(t.Prices, 1+r.Int64N(1000))
	}
	t.Prices = t.Prices[1:]
	return t
}

// However often one claims, it is the same gold.
func TestClaimingOftenIsNoGain(t *testing.T) {
	d := Defaults()
	rare, often := d.New("a", epoch), d.New("b", epoch)
	now := epoch
	for range 10_000 {
		now = now.Add(777 * time.Millisecond)
		often, _ = d.Claim(often, now)
	}
	now = now.Add(time.Minute)
	often, _ = d.Claim(often, now)
	rare, _ = d.Claim(rare, now)
	if diff := rare.Money - often.Money; diff < 0 || diff > 1 {
		t.Errorf("claimed often %d, once %d", often.Money, rare.Money)
	}
}

// The limits of what tables and players may hold do not overflow.
func TestExtremes(t *testing.T) {
	tables := &Tables{Start: MaxMoney - 1, Prices: []int64{MaxMoney}, Income: []int64{maxIncome, maxIncome}, Hours: maxHours}
	if err := tables.Validate(); err != nil {
		t.Fatal(err)
	}
	p := tables.New("a", time.Unix(0, 0))
	p, err := tables.Claim(p, time.UnixMilli(math.MaxInt64/2))
	if err != nil || p.Money != MaxMoney || p.Unclaimed != maxIncome*maxHours-1 {
		t.Errorf("%+v, %v", p, err)
	}
	if _, err = tables.Claim(p, time.UnixMilli(math.MaxInt64/2)); err == nil || err.(*Refusal).Why != PurseFull {
		t.Errorf("a full purse: %v", err)
	}
	if p, err = tables.Upgrade(p, time.UnixMilli(math.MinInt64/2)); err != nil || p.Money != 0 {
		t.Errorf("%+v, %v", p, err)
	}
	p.Level = math.MaxInt64 // of tables that were longer
	if _, err := tables.Upgrade(p, epoch); err == nil || err.(*Refusal).Why != AtTop {
		t.Errorf("above the top: %v", err)
	}
	tables.Earn(p, epoch)
}

func TestTables(t *testing.T) {
	d := Defaults()
	if err := d.Validate(); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		`{"start":-1}`: "start", `{"income":[1]}`: "income has 1 numbers", `{"prices":[0],"income":[1,1]}`: "level 2 for 0",
		`{"prices":[1],"income":[1,-1]}`: "-1 at level 2", `{"hours":0}`: "hours", `{"prices":[],"income":[1000000001]}`: "1000000001 at level 1",
	} {
		bad := Defaults()
		if err := json.Unmarshal([]byte(text), &bad); err != nil {
			t.Fatal(err)
		}
		if err := bad.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func FuzzRename(f *testing.F) {
	f.Add("alice")
	f.Add(" x")
	f.Add("a\x00\xff")
	f.Fuzz(func(t *testing.T, name string) {
		p, err := Rename(Player{Name: "before"}, name)
		if err != nil && p.Name != "before" || err == nil && (p.Name != name || name == "" || len([]rune(name)) > MaxName) {
			t.Errorf("%q: %q, %v", name, p.Name, err)
		}
	})
}

func Example() {
	tables := Defaults()
	p := tables.New("alice", time.Unix(0, 0))
	if _, err := tables.Upgrade(p, time.Unix(0, 0)); err != nil {
		fmt.Println(err)
	}
	p, _ = tables.Claim(p, time.Unix(360, 0))
	fmt.Println(p.Money)
	// Output: needs 120 gold, you have 100
	// 160
}
