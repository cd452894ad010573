#!/usr/bin/env bash
# Try, test and measure on one GPU in about a quarter of an hour. The tables come last.
#
#   benchmarks/gpu.sh [FOLDER]                all steps; a log of each in FOLDER
#   STEPS="sweep eager" benchmarks/gpu.sh     some of them
#   DEVICE=cpu MODEL=tiny LARGE=tiny JOBS=64 benchmarks/gpu.sh     a try without a GPU
#
# Each step has its time limit, and one that fails does not stop the others.
# PYTHON is the interpreter that has the packages.
set -uo pipefail
cd "$(dirname "$0")/.."
logs=${1:-$(mktemp -d)}
mkdir -p "$logs"
: >"$logs/steps.log"
python=${PYTHON:-python}
on="--device ${DEVICE:-cuda} --rounds 1"
model=${MODEL:-sd15} large=${LARGE:-sdxl} jobs=${JOBS:-128}
home=$(mktemp -d)
trap 'NIGHTSWEEP_HOME=$home "$python" -m nightsweep down >/dev/null 2>&1; rm -rf "$home"' EXIT

ran=()
step() { # NAME SECONDS COMMAND...: runs it unless STEPS leaves it out
    local name=$1 limit=$2 began=$SECONDS
    case " ${STEPS:-$name} " in *" $name "*) ;; *) return ;; esac
    ran+=("$name")
    NIGHTSWEEP_HOME=$home timeout "$limit" "${@:3}" >"$logs/$name.log" 2>&1
    echo "$name: exit code $?, $((SECONDS - began)) s" | tee -a "$logs/steps.log"
}
bench() { # SCRIPT WORDS...
    echo "$python" "benchmarks/$1.py" $on "${@:2}"
}

step doctor 60 "$python" -m nightsweep doctor
step first 120 "$python" -m nightsweep run examples/first-sweep.yaml
step tests 240 "$python" -m pytest -q -m gpu tests/gpu
step sweep 240 $(bench sweep_vs_loop --model "$model" --jobs "$((jobs / 2))")
step eager 150 $(bench gpu_limit --model "$model" --jobs "$jobs")
step compiled 180 $(bench gpu_limit --model "$model" --jobs "$jobs" --compile)
step large 180 $(bench gpu_limit --model "$large" --width 8 --jobs "$((jobs / 4))")
step mixing 240 $(bench mixing_cost --model "$model" --widths 16)

for name in "${ran[@]}"; do
    echo && echo "== $name"
    grep -E '^(##|\||`|A sweep|Useful|What mixing)|passed|failed|^(FAILED|ERROR)|Error' \
        "$logs/$name.log" | tail -n 20
done
echo && cat "$logs/steps.log" && echo "All logs: $logs"
