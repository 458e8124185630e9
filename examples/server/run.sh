#!/bin/sh
# Builds the server and becomes it, so that signals reach the server itself.
# The lock is for instances that start together: one builds, the others find it
# done.
cd "$(dirname "$0")" &&
	flock . go build -o ../../bin/example-server main.go &&
	exec ../../bin/example-server
