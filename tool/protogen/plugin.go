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

// runPlugin lets protoc-gen-go, which go.mod names as a tool of this module, make the *.pb.go files.
func runPlugin(ctx context.Context, files linker.Files) (map[string][]byte, error) {
	request := &pluginpb.CodeGeneratorRequest{Parameter: proto.String("paths=source_relative")}
	seen := map[string]bool{}
	for _, f := range files {
		options, _ := f.Options().(*descriptorpb.FileOptions)
		if options.GetGoPackage() == "" {
			return nil, fmt.Errorf("%s: go_package is missing, write the same line as the other files: option go_package = ...;", f.Path())
		}
		request.FileToGenerate = append(request.FileToGenerate, f.Path())
		request.ProtoFile = appendWithImports(request.ProtoFile, f, seen)
	}
	input, err := proto.Marshal(request)
	if err != nil {
		return nil, err
	}

	// go tool needs a working directory inside this module, and so do we: projectRoot.
	cmd := exec.CommandContext(ctx, "go", "tool", "protoc-gen-go")
	cmd.Stdin = bytes.NewReader(input)
	var output, complaints bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &complaints
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("go tool protoc-gen-go: %w: %s", err, bytes.TrimSpace(complaints.Bytes()))
	}
	var response pluginpb.CodeGeneratorResponse
	if err := proto.Unmarshal(output.Bytes(), &response); err != nil {
		return nil, fmt.Errorf("go tool protoc-gen-go: its answer: %w", err)
	}
	if response.Error != nil {
		return nil, errors.New("protoc-gen-go: " + response.GetError())
	}
	generated := map[string][]byte{}
	for _, f := range response.File {
		generated["pb/"+path.Base(f.GetName())] = []byte(f.GetContent())
	}
	return generated, nil
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
