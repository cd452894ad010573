#!/usr/bin/env bash
# Try, test and measure on one GPU in eight to ten minutes. The tables come last.
#
#   benchmarks/gpu.sh [FOLDER]                all steps; a log of each in FOLDER
#   STEPS="sweep eager" benchmarks/gpu.sh     some of them
#   DEVICE=cpu MODEL=tiny LARGE=tiny KLEIN=tinyklein JOBS=64 benchmarks/gpu.sh
#                                             a try without a GPU
#
# First come, side by side, the tests and what the measurements need: random weights, and
# networks that are compiled once, into a cache. Then the measurements, one by one. Each
# step has its time limit, and one that fails does not stop the others.
# PYTHON is the interpreter that has the packages.
set -uo pipefail
cd "$(dirname "$0")/.."
logs=${1:-$(mktemp -d)}
mkdir -p "$logs"
: >"$logs/steps.log"
python=${PYTHON:-python}
on="--device ${DEVICE:-cuda} --rounds 1"
model=${MODEL:-sd15} large=${LARGE:-sdxl} klein=${KLEIN:-flux2klein} jobs=${JOBS:-128}
home=$(mktemp -d)
export TORCHINDUCTOR_CACHE_DIR=${TORCHINDUCTOR_CACHE_DIR:-$home/compiled}
export PYTORCH_ALLOC_CONF=expandable_segments:True
trap 'NIGHTSWEEP_HOME=$home "$python" -m nightsweep down >/dev/null 2>&1; rm -rf "$home"' EXIT

ran=()
wanted() { case " ${STEPS:-$1} " in *" $1 "*) ;; *) return 1 ;; esac; }
step() { # NAME SECONDS COMMAND...: runs it unless STEPS leaves it out
    local name=$1 limit=$2 began=$SECONDS
    wanted "$name" || return
    ran+=("$name")
    # As by Ctrl-C: what was found so far is still printed.
    NIGHTSWEEP_HOME=$home timeout -s INT -k 10 "$limit" "${@:3}" >"$logs/$name.log" 2>&1
    echo "$name: exit code $?, $((SECONDS - began)) s" | tee -a "$logs/steps.log"
}
bench() { # SCRIPT WORDS...
    echo "$python" "benchmarks/$1.py" $on "${@:2}"
}
warm() { # MODEL COMMAND...: makes the weights, and compiles what COMMAND runs
    wanted "$1" || return
    timeout -s INT -k 5 170 "${@:2}" >"$logs/warm-$1.log" 2>&1
}

step doctor 60 "$python" -m nightsweep doctor
step first 90 "$python" -m nightsweep run examples/first-sweep.yaml
eager=$(bench gpu_limit --model "$model" --jobs "$jobs")
compiled="$eager --compile"
wide=$(bench gpu_limit --model "$large" --width 8 --jobs "$((jobs / 3 / 4 * 4))" --compile)
calls=$(bench network_calls --model "$klein")
(warm compiled $compiled --jobs 48) &
(warm large $wide --jobs 12) &
(warm calls $calls) &
step tests 180 "$python" -m pytest -q -n 6 -p no:benchmark -m gpu tests/gpu
wait
step compiled 115 $compiled
step large 130 $wide
step calls 60 $calls
step eager 60 $eager
step sweep 120 $(bench sweep_vs_loop --model "$model" --jobs "$((jobs / 4))")

for name in "${ran[@]}"; do
    echo && echo "== $name"
    grep -E '^(##|\||`|A sweep|Useful|Calls)|passed|failed|skipped|^(FAILED|ERROR|E  )|Error' \
        "$logs/$name.log" | tail -n 20
done
echo && cat "$logs/steps.log" && echo "All logs: $logs"
