#!/bin/sh
# Prints the stage and the authority of one order key: curl.sh ORDER_KEY [QUEUE]
set -eu
: "${SWITCHYARD_URL:?is not set}" "${SWITCHYARD_TOKEN:?is not set}"
key=${1:?usage: curl.sh ORDER_KEY [QUEUE]}
queue=${2:-order-ingestion}

# The token travels on standard input: arguments are visible to every user of the machine.
evaluate() {
  printf 'header = "Authorization: Bearer %s"\n' "$SWITCHYARD_TOKEN" |
    curl --config - --silent --show-error --fail --max-time 5 --header 'Content-Type: application/json' \
      --data "{\"context\":{\"targetingKey\":\"$key\"}}" "$SWITCHYARD_URL/ofrep/v1/evaluate/flags/$1" |
    sed -n 's/.*"value":"\([^"]*\)".*/\1/p'
}

stage=$(evaluate "$queue-stage")
authority=$(evaluate "$queue-authority")
echo "stage=$stage authority=$authority"
