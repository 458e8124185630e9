#!/bin/sh
# Builds the server, unless it is newer than its source, and becomes it, so that
# signals reach the server itself. The lock is for instances that start together:
# one builds, the others find it done.
cd "$(dirname "$0")" &&
	flock . sh -c '[ ../../bin/example-server -nt main.go ] || go build -o ../../bin/example-server main.go' &&
	exec ../../bin/example-server
