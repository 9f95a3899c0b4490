#!/usr/bin/env bash
# What a GPU is asked, in at most eight minutes and without a network: tests that need CUDA, speed beside the scripts of
# others, a minute of each recipe, NCCL, and a chapter at `gpu` scale. Prints tables for README.md, and writes gpu.json.
#
#   bash benchmarks/gpu.sh                        everything, into _gpu/
#   bash benchmarks/gpu.sh --out FOLDER           elsewhere
#   bash benchmarks/gpu.sh --parts speed chapter  some of it, in this order
#   bash benchmarks/gpu.sh --dry                  a little of each on any machine, in a minute or two
#
# Python is $PYTHON, .venv/bin/python or python3, the first one that has PyTorch; where none has, an environment is made
# from requirements.txt, if packages can be had.
#
# A machine without a network finds what it needs in benchmarks/carried, which git ignores. None of it must be there:
# without MNIST the digits are drawn, without a clone its script is left out, without nbclient the chapter is. On a
# machine with a network, in the repository's root:
#
#   mkdir -p benchmarks/carried/mnist benchmarks/carried/examples benchmarks/carried/PyTorch-GAN
#   cp FOLDER-OF-MNIST/*.gz benchmarks/carried/mnist
#   git -C CLONE-OF-EXAMPLES archive HEAD dcgan | tar -x -C benchmarks/carried/examples
#   git -C CLONE-OF-PYTORCH-GAN archive HEAD implementations/dcgan | tar -x -C benchmarks/carried/PyTorch-GAN
#   python3 -m pip download --only-binary=:all: --implementation cp --python-version 3.12 \
#       --platform manylinux_2_28_x86_64 --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 \
#       --platform manylinux_2_12_x86_64 --platform manylinux2010_x86_64 --platform manylinux1_x86_64 \
#       -d benchmarks/carried/wheels pooch nbclient ipykernel
#
# (The clones: github.com/pytorch/examples, github.com/eriklindernoren/PyTorch-GAN. Python's version is the other
# machine's.) That folder, some 40 MB, goes along with the working tree.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
carried=benchmarks/carried

python=
for candidate in "${PYTHON:-}" .venv/bin/python python3; do
  if [ -n "$candidate" ] && "$candidate" -c 'import torch' 2>/dev/null; then python=$candidate; break; fi
done
if [ -z "$python" ]; then
  echo "No Python here has PyTorch. Making an environment from requirements.txt, in .venv." >&2
  if ! { python3 -m venv --clear .venv && .venv/bin/python -m pip install -q -r requirements.txt; }; then
    echo "That failed: install PyTorch, or name a Python that has it: PYTHON=/path/to/python bash benchmarks/gpu.sh" >&2
    exit 1
  fi
  python=.venv/bin/python
fi

site=$(mktemp -d)
trap 'rm -rf "$site"' EXIT
if compgen -G "$carried/wheels/*.whl" >/dev/null; then
  "$python" -m pip install -q --no-index --no-deps --no-compile --disable-pip-version-check --root-user-action ignore \
    --target "$site" "$carried"/wheels/*.whl || echo "The wheels of $carried do not fit this Python: without them." >&2
fi
export PYTHONPATH="$PWD:$site${PYTHONPATH:+:$PYTHONPATH}"
export GAN_TUTORIAL_DOWNLOAD=0
[ ! -d "$carried/mnist" ] || export GAN_TUTORIAL_DATA="$PWD/$carried"

missing=$("$python" - <<'END'
from importlib.util import find_spec
print(*(name for name in ("numpy", "matplotlib", "pooch", "PIL", "safetensors", "tqdm") if not find_spec(name)))
END
)
if [ -n "$missing" ]; then
  echo "$python has no $missing: install them, or bring their wheels along in $carried/wheels." >&2
  exit 1
fi
"$python" -m benchmarks.gpu "$@"
