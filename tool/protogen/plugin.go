package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path"

	"github.com/bufbuild/protocompile/linker"
	"github.com/bufbuild/protocompile/protoutil"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"
)

// plugin is a code generator that go.mod names as a tool of this module.
type plugin struct {
	name, options string
	framed        bool // only for files whose messages stand in frames
}

// plugins make the *.pb.go files: the official one the types, the other what reads and writes them
// without reflection, which takes a third of the time and matters where every message passes.
var plugins = []plugin{
	{"protoc-gen-go", "", false},
	{"protoc-gen-go-vtproto", ",features=marshal+unmarshal+unmarshal_unsafe+size", true},
}

// runPlugins returns what all plugins make, by path in the folder of the .proto files.
func runPlugins(ctx context.Context, files linker.Files) (map[string][]byte, error) {
	generated := map[string][]byte{}
	for _, p := range plugins {
		if err := p.run(ctx, files, generated); err != nil {
			return nil, fmt.Errorf("go tool %s: %w", p.name, err)
		}
	}
	return generated, nil
}

func (p plugin) run(ctx context.Context, files linker.Files, generated map[string][]byte) error {
	request, err := ask(files, p.framed, p.options)
	if err != nil {
		return err
	}
	input, err := proto.Marshal(request)
	if err != nil {
		return err
	}

	// go tool needs a working directory inside this module, and so do we: projectRoot.
	cmd := exec.CommandContext(ctx, "go", "tool", p.name)
	cmd.Stdin = bytes.NewReader(input)
	var output, complaints bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &complaints
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%w: %s", err, bytes.TrimSpace(complaints.Bytes()))
	}
	var response pluginpb.CodeGeneratorResponse
	if err := proto.Unmarshal(output.Bytes(), &response); err != nil {
		return fmt.Errorf("its answer: %w", err)
	}
	if response.Error != nil {
		return errors.New(response.GetError())
	}
	for _, f := range response.File {
		generated["pb/"+path.Base(f.GetName())] = []byte(f.GetContent())
	}
	return nil
}

// ask makes what a plugin is asked: to generate code for all files, or only for those with framed
// messages.
func ask(files linker.Files, onlyFramed bool, options string) (*pluginpb.CodeGeneratorRequest, error) {
	request := &pluginpb.CodeGeneratorRequest{Parameter: proto.String("paths=source_relative" + options)}
	seen := map[string]bool{}
	for _, f := range files {
		options, _ := f.Options().(*descriptorpb.FileOptions)
		if options.GetGoPackage() == "" {
			return nil, fmt.Errorf("%s: go_package is missing, write the same line as the other files: option go_package = ...;", f.Path())
		}
		if !onlyFramed || framed(f) {
			request.FileToGenerate = append(request.FileToGenerate, f.Path())
		}
		request.ProtoFile = appendWithImports(request.ProtoFile, f, seen)
	}
	return request, nil
}

// appendWithImports appends f after everything it imports, as the plugin protocol wants it.
func appendWithImports(list []*descriptorpb.FileDescriptorProto, f protoreflect.FileDescriptor, seen map[string]bool) []*descriptorpb.FileDescriptorProto {
	if seen[f.Path()] {
		return list
	}
	seen[f.Path()] = true
	for i := range f.Imports().Len() {
		list = appendWithImports(list, f.Imports().Get(i).FileDescriptor, seen)
	}
	return append(list, protoutil.ProtoFromFileDescriptor(f))
}
