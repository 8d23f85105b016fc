#!/bin/sh
# commit-msg.sh FILE - the hook of CONTRIBUTING.md: the form of a commit's message.
exec python3 "$(git rev-parse --show-toplevel)/tests/tidy.py" --message "$1"
