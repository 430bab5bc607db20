#!/usr/bin/env bash
# Runs the recipe of this folder: builds the image of a small project, starts it with Docker Compose, and checks
# what docs/supervision.md says about containers. Needs docker, docker-compose and, as root, debootstrap.
# Where no registry can be reached, STANDINS=1 makes the two base images from Debian packages instead.
# PYTHON is a Python of the image's version (3.13), for the wheels.
set -euo pipefail
recipe=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
export COMPOSE_PROJECT_NAME=poolq-try
trap 'cd "$work/shop" && docker-compose down --volumes --timeout=1 >"$work/down.log" 2>&1; rm -rf "$work"' EXIT

step() { printf '== %s\n' "$*"; }
fail() { printf 'FAILED: %s\n' "$*" >&2; docker-compose logs pool >&2; exit 1; }
in_pool() { docker-compose exec -T pool "$@"; }
wait_until() { # what command...
  local what=$1; shift
  for _ in $(seq 150); do "$@" >"$work/last" 2>&1 && return; sleep 0.2; done
  fail "$what, within 30 s"
}
dispatch() { in_pool poolq job dispatch jobs:nap "{\"seconds\": $1}"; }
busy() { in_pool poolq status --json | "$PYTHON" -c 'if True:
    import json, sys
    print(*(worker["pid"] for worker in json.load(sys.stdin)["workers"] if worker["state"] == "busy"))'; }
is_done() { docker-compose logs pool | grep -q "done jobs:nap $1"; }
one_busy() { [ -n "$(busy)" ]; }

: "${PYTHON:=python3.13}"
mkdir "$work/shop"
cd "$work/shop"

if [ -n "${STANDINS:-}" ]; then
  step "base images from Debian"
  debootstrap --variant=minbase --include=python3,python3-pip,redis-server trixie "$work/debian" >"$work/log"
  rm "$work"/debian/usr/lib/python3*/EXTERNALLY-MANAGED # the official images have none of these three
  ln -s python3 "$work/debian/usr/bin/python"
  printf '[global]\nno-index = true\n' >"$work/debian/etc/pip.conf" # all wheels are in wheels/
  tar -C "$work/debian" -c . | docker import - python:3.13-slim
  mv "$work/debian/usr/bin/redis-server" "$work/debian/usr/bin/redis"
  printf '#!/bin/sh\nexec redis "$@" --protected-mode no\n' >"$work/debian/usr/bin/redis-server" # as there
  chmod +x "$work/debian/usr/bin/redis-server"
  tar -C "$work/debian" -c . | docker import - redis:8
fi

step "a project with the files of the recipe"
cp "$recipe"/{Dockerfile,compose.yaml,.dockerignore} .
echo 'name = "shop"' >poolq.toml
echo poolq >requirements.txt
cat >jobs.py <<'JOBS'
import time

import poolq


@poolq.job
def nap(seconds: float) -> None:
    time.sleep(seconds)
JOBS
"$PYTHON" -m pip wheel --quiet --wheel-dir=wheels "$recipe/../.."

step "docker compose up: the pool takes jobs when the command returns"
docker-compose build --quiet
docker-compose up --detach --wait
in_pool poolq health --ready

step "it is not root, and its root is read-only"
[ "$(in_pool id -u)" = 10001 ] || fail "uid"
in_pool touch /app/x 2>"$work/last" && fail "the root can be written"

step "a job runs"
id=$(dispatch 0)
wait_until "the job is done" is_done "$id"

step "kill -9 of a worker: its job starts again"
id=$(dispatch 8)
wait_until "a worker is busy" one_busy
in_pool python -c "import os; os.kill($(busy), 9)"
wait_until "the job has crashed once" eval "in_pool poolq job show $id | grep -q 'crashes: 1'"
wait_until "the job is done" is_done "$id"

step "without its broker, the pool is live but not ready; then it is ready again"
docker-compose stop --timeout=5 redis
wait_until "it is not ready" eval "! in_pool poolq health --ready"
in_pool poolq health --live || fail "it is not live"
docker-compose start redis
wait_until "it is ready again" in_pool poolq health --ready

step "docker compose stop: the running job finishes, and the pool exits with 0"
id=$(dispatch 8)
wait_until "a worker is busy" one_busy
docker-compose stop pool
[ "$(docker inspect "$COMPOSE_PROJECT_NAME-pool-1" --format '{{.State.ExitCode}}')" = 0 ] || fail "exit code"
is_done "$id" || fail "the job has not finished"

step "three pools share the jobs"
docker-compose up --detach --wait --scale pool=3
wait_until "three pools are registered" eval '[ "$(in_pool poolq nodes --json | grep -o \"beat\" | wc -l)" = 3 ]'
docker-compose up --detach --wait --scale pool=1

step "no /dev/shm is needed"
docker run --rm --ipc=none --read-only --tmpfs=/tmp --env=POOLQ_ENGINE=sqlite:////tmp/jobs.db \
  "$COMPOSE_PROJECT_NAME-pool" sh -c 'test ! -e /dev/shm && poolq job dispatch jobs:nap "{\"seconds\": 0}" &&
    exec poolq run --until-empty' 2>&1 | tee "$work/last"
grep -q "done jobs:nap" "$work/last" || fail "a pool without /dev/shm"

step "code that cannot be loaded: exit code 3"
echo 'import nothing_of_this_name' >>jobs.py
docker-compose build --quiet
code=0
docker-compose run --rm --no-deps -T pool >"$work/last" 2>&1 || code=$?
[ "$code" = 3 ] || fail "exit code $code: $(tail -3 "$work/last")"
echo "all as documented"
