package msgmux

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// Refusal is a "no" meant for the client: a result code of the protocol and a
// reason in words.
type Refusal struct {
	Code   int32
	Reason string
}

// Error tells code and reason.
func (r *Refusal) Error() string { return fmt.Sprintf("refused with code %d: %s", r.Code, r.Reason) }

// Refuse makes a refusal. code is a value of the protocol's result enum.
func Refuse[C ~int32](code C, format string, args ...any) error {
	return &Refusal{int32(code), fmt.Sprintf(format, args...)}
}

// setRefusal puts a refusal into the enum field "result" of ack, and its words
// into the string field "reason" if there is one. It reports false if err is
// no refusal or ack cannot carry one.
func setRefusal(ack Message, err error) bool {
	var r *Refusal
	if !errors.As(err, &r) {
		return false
	}
	m := ack.ProtoReflect()
	fields := m.Descriptor().Fields()
	result := fields.ByName("result")
	if result == nil || result.Kind() != protoreflect.EnumKind {
		return false
	}
	m.Set(result, protoreflect.ValueOfEnum(protoreflect.EnumNumber(r.Code)))
	if reason := fields.ByName("reason"); reason != nil && reason.Kind() == protoreflect.StringKind {
		m.Set(reason, protoreflect.ValueOfString(r.Reason))
	}
	return true
}
