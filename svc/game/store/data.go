package store

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/davyxu/cellmesh_demo/svc/game/growth"
)

// dataVersion is written into every row. It is raised only by a change that
// programs before it would misunderstand; they then refuse the row. A new field
// is no such change: old rows do not have it, and programs that do not know it
// keep it.
const dataVersion = 1

// maxRefused is how many refused requests of a player are remembered: more than
// a client has under way.
const maxRefused = 16

// Refused is a request that was refused. Should it come again, it gets the same
// answer, even if it would succeed by then.
type Refused struct {
	RequestID string     `json:"id"`
	What      string     `json:"what"`
	Why       growth.Why `json:"why"`
	Text      string     `json:"text"`
}

// Data is a row's data.
type Data struct {
	growth.Player
	Refused []Refused // the newest last, shared: never changed in place

	rest map[string]json.RawMessage // fields that a newer program has written; shared
}

// refused is d with one refusal more.
func (d Data) refused(r Refused) Data {
	keep := d.Refused[max(0, len(d.Refused)-maxRefused+1):]
	d.Refused = append(append(make([]Refused, 0, len(keep)+1), keep...), r)
	return d
}

// wasRefused is how the request was refused, nil if it was not.
func (d Data) wasRefused(requestID string) *Refused {
	for i := range d.Refused {
		if d.Refused[i].RequestID == requestID {
			return &d.Refused[i]
		}
	}
	return nil
}

// encoded is how the known fields are written.
type encoded struct {
	Version   int       `json:"v"`
	Name      string    `json:"name"`
	Level     int64     `json:"level"`
	Money     int64     `json:"money"`
	Unclaimed int64     `json:"unclaimed"`
	Since     int64     `json:"since"`
	Refused   []Refused `json:"refused,omitempty"`
}

func (d Data) encode() (string, error) {
	b, err := json.Marshal(encoded{dataVersion, d.Name, d.Level, d.Money, d.Unclaimed, d.Since, d.Refused})
	if err != nil || len(d.rest) == 0 {
		return string(b), err
	}
	rest, err := json.Marshal(d.rest)
	if err != nil {
		return "", err
	}
	b[len(b)-1] = ',' // {...} {...} become one
	return string(append(b, rest[1:]...)), nil
}

// decode reads a row. What it does not understand in full it refuses.
func decode(text string) (Data, error) {
	fields := map[string]json.RawMessage{}
	if err := json.Unmarshal([]byte(text), &fields); err != nil {
		return Data{}, err
	}
	var d Data
	var version int
	var wrong error
	take := func(name string, into any, must bool) {
		raw, there := fields[name]
		delete(fields, name)
		switch {
		case !there || string(raw) == "null":
			if must {
				wrong = errors.Join(wrong, fmt.Errorf("%s is missing", name))
			}
		default:
			if err := json.Unmarshal(raw, into); err != nil {
				wrong = errors.Join(wrong, fmt.Errorf("%s: %w", name, err))
			}
		}
	}
	take("v", &version, true)
	if wrong == nil && version != dataVersion {
		return Data{}, fmt.Errorf("it is of version %d, known here is %d", version, dataVersion)
	}
	take("name", &d.Name, true)
	take("level", &d.Level, true)
	take("money", &d.Money, true)
	take("unclaimed", &d.Unclaimed, false)
	take("since", &d.Since, true)
	take("refused", &d.Refused, false)
	if wrong == nil {
		wrong = d.Check()
	}
	if wrong != nil {
		return Data{}, wrong
	}
	if len(fields) > 0 {
		d.rest = fields
	}
	return d, nil
}
