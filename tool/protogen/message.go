package main

import (
	"errors"
	"fmt"
	"math"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/bufbuild/protocompile/linker"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/davyxu/cellmesh_demo/proto/msgid"
	"github.com/davyxu/cellmesh_demo/svc/agent/route/rule"
)

// message is one top-level message of the .proto files.
type message struct {
	rule.Rule        // only Msg, ID and Explicit are set when the message has no route
	at        string // file:line:col
}

var (
	goodName   = regexp.MustCompile(`^[A-Z][A-Za-z0-9]*$`)                                  // anything else gets another name in Go
	takenNames = []string{"Message", "MessageInfo", "MessageName", "Messages", "HandledBy"} // by pb itself
)

// collect returns all messages that have an ID, by name: the top-level ones of every file but
// options.proto, which is about the .proto files themselves.
func collect(files linker.Files) ([]message, error) {
	var messages []message
	var mistakes []error
	for _, f := range files {
		if !framed(f) {
			continue
		}
		for i := range f.Messages().Len() {
			m, err := describe(f.Messages().Get(i), files)
			if err != nil {
				mistakes = append(mistakes, fmt.Errorf("%s: message %s: %w", m.at, m.Msg, err))
			}
			messages = append(messages, m)
		}
	}
	slices.SortFunc(messages, func(a, b message) int { return strings.Compare(a.Msg, b.Msg) })
	if len(mistakes) == 0 {
		mistakes = collisions(messages)
	}
	return messages, errors.Join(mistakes...)
}

// framed reports whether the messages of f stand in frames: options.proto is about the .proto files
// themselves.
func framed(f protoreflect.FileDescriptor) bool { return f.Path() != importPrefix+"options.proto" }

func describe(d protoreflect.MessageDescriptor, files linker.Files) (message, error) {
	loc := d.ParentFile().SourceLocations().ByDescriptor(d)
	var m message
	m.Msg = string(d.Name())
	m.ID = msgid.Of(m.Msg)
	m.at = fmt.Sprintf("%s:%d:%d", d.ParentFile().Path(), loc.StartLine+1, loc.StartColumn+1)
	if !goodName.MatchString(m.Msg) {
		return m, errors.New("begin the name with a capital and use only letters and digits, so that it is the same in Go")
	}
	if slices.Contains(takenNames, m.Msg) {
		return m, errors.New("package pb needs this name for itself, take another")
	}
	options, err := readOptions(d, files)
	if err != nil {
		return m, err
	}
	if id, ok := options["proto.msg_id"]; ok {
		if id.Uint() == 0 || id.Uint() > math.MaxUint16 {
			return m, fmt.Errorf("option (msg_id) = %d: must be between 1 and 65535", id.Uint())
		}
		m.ID, m.Explicit = uint16(id.Uint()), uint16(id.Uint()) != m.ID
	}
	if why := msgid.Reserved(m.ID); why != "" {
		return m, fmt.Errorf("its ID would be %d, which no message may have: %s; rename it or set another with option (msg_id)", m.ID, why)
	}
	if option, ok := options["proto.route"]; ok {
		if err := m.readRoute(option.Message(), d); err != nil {
			return m, fmt.Errorf("option (route): %w", err)
		}
	}
	return m, nil
}

// readOptions returns our own options of d by full name. They are looked up in the files just
// compiled: the generated Go types may not be there yet.
func readOptions(d protoreflect.MessageDescriptor, files linker.Files) (map[string]protoreflect.Value, error) {
	raw, err := proto.Marshal(d.Options())
	if err != nil {
		return nil, err
	}
	var options descriptorpb.MessageOptions
	if err := (proto.UnmarshalOptions{Resolver: files.AsResolver()}).Unmarshal(raw, &options); err != nil {
		return nil, err
	}
	values := map[string]protoreflect.Value{}
	options.ProtoReflect().Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		values[string(f.FullName())] = v
		return true
	})
	return values, nil
}

func (m *message) readRoute(options protoreflect.Message, d protoreflect.MessageDescriptor) error {
	get := func(name protoreflect.Name) protoreflect.Value {
		return options.Get(options.Descriptor().Fields().ByName(name))
	}
	number := get("rule").Enum()
	value := options.Descriptor().Fields().ByName("rule").Enum().Values().ByNumber(number)
	if value == nil {
		return fmt.Errorf("unknown rule %d", number)
	}
	if err := m.Access.UnmarshalText([]byte(strings.ToLower(string(value.Name())))); err != nil {
		return err
	}
	m.Service = get("service").String()
	m.MaxSize = uint32(get("max_size").Uint())
	m.Rate = get("rate").Float()
	m.Burst = uint32(get("burst").Uint())
	if name := get("svcid_field").String(); name != "" {
		f := d.Fields().ByName(protoreflect.Name(name))
		if f == nil || f.Kind() != protoreflect.StringKind || f.IsList() {
			return fmt.Errorf("svcid_field %q is not a string field of this message", name)
		}
		m.SvcIDField = uint32(f.Number())
	}
	return m.Check()
}

// collisions returns one error for each two messages with the same ID.
func collisions(messages []message) []error {
	var mistakes []error
	owner := map[uint16]message{}
	for _, m := range messages {
		if first, taken := owner[m.ID]; taken {
			mistakes = append(mistakes, fmt.Errorf("%s: messages %s and %s (%s) have the same ID %d: "+
				"rename the newer one, which clients do not know yet, or give it a free ID with option (msg_id) = N",
				m.at, m.Msg, first.Msg, path.Base(first.at), m.ID))
			continue
		}
		owner[m.ID] = m
	}
	return mistakes
}
