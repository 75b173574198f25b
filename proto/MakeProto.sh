#!/bin/sh
# After a change in a .proto file: makes the Go code in pb, then pushes the route rules to memsd,
# from where every running agent takes them within a second.
#
#	sh MakeProto.sh                         # both
#	sh MakeProto.sh -nopush                 # the Go code only
#	sh MakeProto.sh -sdaddr=10.0.0.5:8900   # flags go to tool/routegen
#
# Needs nothing but Go. Exits non-zero when something did not happen; what was generated stays.
set -eu
CDPATH= cd -- "$(dirname -- "$0")"

go run ../tool/protogen
if [ "${1-}" = -nopush ]; then
	echo "MakeProto: the route rules were not pushed, as asked"
	exit 0
fi
exec go run ../tool/routegen "$@"
