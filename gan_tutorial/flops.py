"""What a computation costs, counted rather than timed: the same numbers on every machine."""

from collections import Counter

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

LOOKUPS = ("index", "embedding", "index_select", "gather")  # they read as much as they write, however large the table
NOTHING = (
    "view",
    "_unsafe_view",
    "reshape",
    "expand",
    "detach",
    "alias",
    "t",
    "transpose",
    "permute",
    "unsqueeze",
    "squeeze",
    "select",
    "slice",
    "split",
    "split_with_sizes",
    "unbind",
    "as_strided",
    "diagonal",
    "unfold",
    "lift_fresh",
    "empty",
    "empty_like",
    "empty_strided",
    "new_empty",
    "new_empty_strided",
    "_local_scalar_dense",
    "_record_function_enter_new",
    "_record_function_exit",
)  # views, and memory that is only allocated


class OpCounter(TorchDispatchMode):
    r"""Count what PyTorch computes inside a `with` block, forward and backward.

        with OpCounter() as costs: player.update(batch)
        costs.flops, costs.bytes, costs.operations

    flops       of matrix products and convolutions, counting a multiplication and an addition as two:
                2·k²·C_in·C_out·h·w for a convolution of one image. Everything else counts as none.
    bytes       read and written if nothing stays in a cache: each operation's tensors once, but of a table only the
                rows that are looked up. Views move nothing.
    operations  that do something: a GPU launches about this many kernels
    by_name     flops, bytes and operations of each kind, `costs.by_name["convolution"]`

    Raises ValueError in inference mode.
    """

    def __init__(self):
        super().__init__()
        self.by_name: dict[str, Counter] = {}

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if torch.is_inference_mode_enabled():
            raise ValueError("In inference mode layers are not split into operations: count under torch.no_grad().")
        result = operation(*args, **kwargs)
        packet = operation._overloadpacket
        name = packet.__name__
        if name not in NOTHING:
            formula = flop_registry.get(packet)
            seen = result if name in LOOKUPS else (args, kwargs, result)
            tensors = {id(x): x for x in tree_leaves(seen) if isinstance(x, Tensor)}
            self.by_name.setdefault(name, Counter()).update(
                flops=formula(*args, **kwargs, out_val=result) if formula else 0,
                bytes=sum(x.numel() * x.element_size() for x in tensors.values()) * (2 if name in LOOKUPS else 1),
                operations=1,
            )
        return result

    def _sum(self, what: str) -> int:
        return sum(own[what] for own in self.by_name.values())

    flops = property(lambda self: self._sum("flops"))
    bytes = property(lambda self: self._sum("bytes"))
    operations = property(lambda self: self._sum("operations"))
