#!/usr/bin/env bash
# Ends with 0 if the server on this machine has a version of $MODEL_NAME to answer with. The image has no curl, so the request
# is written by hand.
set -euo pipefail
exec 3<> "/dev/tcp/127.0.0.1/${REST_PORT:-8501}"
printf 'GET /v1/models/%s HTTP/1.0\r\nHost: localhost\r\n\r\n' "$MODEL_NAME" >&3
answer=$(cat <&3)
[[ $answer == *'"AVAILABLE"'* ]]
