"""A stand-in for a GPU, on a machine without one: `python -m tests.stand_in_gpu cuda NOTEBOOK` runs a chapter on it.

A tensor on it says that its device is "cuda", or "mps". Its numbers lie in ordinary memory, so that every operation is
computed as on the CPU. What such a GPU refuses is refused: an operation on tensors of two devices (a single number may
come from the CPU), a random generator of another device than its tensor, NumPy's look at its memory, and on "mps"
float64. So a network, a noise or a mask that was left behind is found. What a GPU rounds or runs differently is not:
tests/test_cuda.py needs a real one.
"""

import json
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map_only

CPU = torch.device("cpu")
KINDS = "cuda", "mps"
ANY_DEVICE = {"copy_", "to", "cpu", "cuda", "__getitem__", "__setitem__", "index_put_", "__deepcopy__"}


class OnGPU(Tensor):
    """A tensor that says that it is on the GPU."""

    device = property(lambda self: StandInGPU.device)
    is_cuda = property(lambda self: StandInGPU.device.type == "cuda")
    is_cpu = property(lambda self: False)


class Generator(torch.Generator):
    """A generator of random numbers, of a device."""

    def __new__(cls, device: torch.device | str = CPU):
        made = super().__new__(cls, CPU)
        made.place = torch.device(device)
        return made

    def __init__(self, device: torch.device | str = CPU):
        super().__init__()

    device = property(lambda self: StandInGPU.device if is_gpu(self.place) else self.place)


def is_gpu(device) -> bool:
    return device is not None and torch.device(device).type in KINDS


def place(x: Tensor, gpu: bool) -> Tensor:
    """The tensor on the GPU or on the CPU; itself where it is there already."""
    if gpu and x.dtype == torch.float64 and StandInGPU.device.type == "mps":
        raise TypeError("Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64.")
    return x if isinstance(x, OnGPU) == gpu else x.as_subclass(OnGPU if gpu else Tensor)  # pyright: ignore


class StandInGPU(TorchFunctionMode):
    """Within it, tensors can be moved to the GPU; `with StandInGPU("cuda"):` installs what is needed."""

    device = torch.device("cuda", 0)

    def __init__(self, kind: str = "cuda"):
        super().__init__()
        self.kind, self.installed = kind, ExitStack()

    def __enter__(self):
        StandInGPU.device = torch.device(self.kind, 0)
        cuda = {
            "is_available": lambda: self.kind == "cuda",
            "get_device_name": lambda device=None: "stand-in",
            "get_device_capability": lambda device=None: (7, 5),  # as Colab's
            "is_bf16_supported": lambda including_emulation=True: True,
            "get_rng_state": lambda device=None: torch.get_rng_state(),
            "set_rng_state": lambda state, device=None: None,
            "synchronize": lambda device=None: None,
        }
        for name, function in cuda.items():
            self.installed.enter_context(patch.object(torch.cuda, name, function))
        self.installed.enter_context(patch.object(torch.backends.mps, "is_available", lambda: self.kind == "mps"))
        self.installed.enter_context(patch.object(torch, "Generator", Generator))
        self.installed.enter_context(patch.object(torch.func, "grad", grad))
        return super().__enter__()

    def __exit__(self, *error):
        super().__exit__(*error)
        self.installed.close()

    def __torch_function__(self, func: Callable, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        name = getattr(func, "__name__", "")
        if name == "__get__":  # of a property, such as .grad
            name = getattr(func.__self__, "__name__", "")  # pyright: ignore[reportFunctionMemberAccess]
        tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        gpu = any(isinstance(x, OnGPU) for x in tensors)
        if name in ("numpy", "__array__") and gpu:
            raise TypeError(f"can't convert {self.device} device type tensor to numpy. Use Tensor.cpu() first.")
        if name == "__deepcopy__" and gpu:
            return self._copied(*args)
        if name in ("__reduce_ex__", "__format__") and gpu:
            return func(place(args[0], False), *args[1:])
        if name == "_has_compatible_shallow_copy_type" and len({isinstance(x, OnGPU) for x in tensors}) > 1:
            return False  # a module that moves gets new parameters, of the other class
        if name in ("tensor", "as_tensor"):
            gpu = isinstance(args[0], OnGPU)  # of a list of tensors, too, PyTorch makes one on the CPU
        elif name not in ANY_DEVICE:
            refuse(len({isinstance(x, OnGPU) for x in tensors if x.ndim}) > 1, name, "tensors of two devices")
        if name in ("__getitem__", "__setitem__", "index_put_"):
            gpu = isinstance(args[0], OnGPU)
            index = {isinstance(x, OnGPU) for x in tree_leaves(args[1]) if isinstance(x, Tensor) and x.ndim}
            refuse(not gpu and True in index, name, "a tensor on the CPU by an index on the GPU")
            value = {isinstance(x, OnGPU) for x in args[2:3] if isinstance(x, Tensor) and x.ndim}
            refuse(not value <= {gpu}, name, "a value on another device")
        if name == "copy_":
            gpu = isinstance(args[0], OnGPU)
        if name == "to":
            args, kwargs, gpu = self._target(args, kwargs)
        elif name in ("cpu", "cuda"):
            return place(args[0], name == "cuda")
        elif kwargs.get("device") is not None:
            gpu = is_gpu(kwargs.pop("device"))
        for generator in (x for x in (*args, *kwargs.values()) if isinstance(x, torch._C.Generator)):
            refuse(is_gpu(generator.device) != gpu, name, f"a generator of the {generator.device.type}")
        found = func(*args, **kwargs)
        if isinstance(found, Tensor) and found.requires_grad and not tensors:  # a new one is a leaf
            return place(found.detach(), gpu).requires_grad_()
        return tree_map_only(Tensor, lambda x: place(x, gpu), found)

    @staticmethod
    def _target(args, kwargs):
        """x.to(…) without its device, and whether that is the GPU."""
        gpu = isinstance(args[0], OnGPU)
        given = {"dtype": args[0].dtype} | {k: v for k, v in kwargs.items() if k not in ("device", "other") and v}
        for x in (*args[1:], kwargs.get("device"), kwargs.get("other")):
            if isinstance(x, torch.device | str):
                gpu = is_gpu(x)
            elif isinstance(x, Tensor):
                gpu = isinstance(x, OnGPU)
                given["dtype"] = x.dtype
            elif isinstance(x, torch.dtype):
                given["dtype"] = x
        return args[:1], given, gpu

    @staticmethod
    def _copied(x: Tensor, memo: dict):
        if id(x) not in memo:
            copy = place(x.detach().clone(), True)
            parameter = isinstance(x, nn.Parameter)
            memo[id(x)] = nn.Parameter(copy, x.requires_grad) if parameter else copy.requires_grad_(x.requires_grad)
        return memo[id(x)]


def refuse(wrong: bool, name: str, why: str) -> None:
    if wrong:
        raise RuntimeError(f"A GPU refuses {name} of {why}.")


def grad(func: Callable, *settings, **more) -> Callable:
    """`torch.func.grad`, whose tensors inside lose their class."""

    def gradient(*args):
        def inside(*traced):
            pairs = zip(traced, args, strict=True)
            return func(*(place(x, isinstance(y, OnGPU)) if isinstance(x, Tensor) else x for x, y in pairs))

        return derivative(inside, *settings, **more)(*args)

    return gradient


derivative = torch.func.grad


def main(kind: str, notebook: Path) -> None:
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    shell = InteractiveShell.instance(config=Config(HistoryManager={"enabled": False}), colors="NoColor")
    with StandInGPU(kind):
        for number, cell in enumerate(cells):
            if cell["cell_type"] == "code" and not shell.run_cell("".join(cell["source"])).success:
                sys.exit(f"in cell {number} of {notebook.name}")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]).resolve())
