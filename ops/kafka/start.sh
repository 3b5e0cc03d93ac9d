#!/bin/bash
# Starts the image's broker under a cluster id of its own. The image has one fixed id for all clusters, but services
# remember the cluster that their offsets belong to: a broker on a new, empty volume has to be told from the old one.
set -euo pipefail

meta=$KAFKA_LOG_DIRS/meta.properties
if [ -f "$meta" ]; then
  CLUSTER_ID=$(sed -n 's/^cluster\.id=//p' "$meta")
else
  # 16 random bytes in Kafka's base64; the letter in front keeps its tools from reading the id as an option.
  CLUSTER_ID=L$(head -c 15 /dev/urandom | base64 | tr '+/' '-_')A
fi
export CLUSTER_ID
exec /etc/kafka/docker/run
