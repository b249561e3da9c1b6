# What the rows of extra.d have in common, for them to source: a configuration in $config, to which a row adds what is its
# own, and how it learns and serves.
set -eu
milterd=${MILTERD_BIN:-$(dirname "$0")/../../bin/milterd}
config=$BENCH_STATE/milterd.yaml
mkdir -p "$BENCH_STATE/spool"
cat >"$config" <<Y
mode: enforce
authserv_id: $BENCH_HOSTNAME
listen: ["unix:$BENCH_SOCK"]
control: "unix:$BENCH_STATE/control.sock"
http: ${BENCH_HTTP:-off}
journal: {path: verdicts}
store: bolt:state.db
spool: spool
dns: {servers: ["$BENCH_DNS"]}
Y

# learn teaches Bayes what is there to train with; every run learns, and greylists, from the start.
learn() {
  rm -f "$BENCH_STATE/state.db"
  "$milterd" learn --config "$config" ham "$BENCH_DATA"/train-ham/*.eml
  "$milterd" learn --config "$config" spam "$BENCH_DATA"/train-spam/*.eml
}

serve() { exec "$milterd" serve --allow-root --config "$config"; }
