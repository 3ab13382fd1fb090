"""How much memory tensors take while something runs, by counting them as they are made and freed.

Exact for what torch's operations return, and the same on every run; what a kernel takes for itself while it computes is
not seen. So it measures on a CPU, whose allocator keeps no account, and estimates on any device.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

__all__ = ["TensorMemory", "tensor_bytes"]


def tensor_bytes(tensors: Iterable[Tensor]) -> int:
    """Return the bytes that tensors take together; memory that several of them share counts once."""
    return sum({_key(tensor): tensor.untyped_storage().nbytes() for tensor in tensors}.values())


class TensorMemory(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the memory of all tensors that come out of torch's operations in this context, on any device.

    with TensorMemory() as memory:
        loss.backward()
    memory.peak   # bytes
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = 0
        """Bytes of the tensors made in the context that are still there."""
        self.peak = 0
        """The most there were at once."""
        self._known: dict[int, weakref.ref[Any]] = {}

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        # What came from outside is not counted, also when an operation in place returns it.
        for tensor in _tensors((args, kwargs)):
            self._note(tensor, 0)
        result = func(*args, **kwargs)
        for tensor in _tensors(result):
            self._note(tensor, tensor.untyped_storage().nbytes())
        return result

    def _note(self, tensor: Tensor, size: int) -> None:
        key, storage = _key(tensor), tensor.untyped_storage()
        if key in self._known:
            return

        def freed(_: object) -> None:  # another one may come to stand at the same address
            self.now -= size
            self._known.pop(key, None)

        self._known[key] = weakref.ref(storage, freed)
        self.now += size
        self.peak = max(self.peak, self.now)


def _tensors(values: Any) -> list[Tensor]:
    return [value for value in tree_leaves(values) if isinstance(value, Tensor)]


def _key(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)
