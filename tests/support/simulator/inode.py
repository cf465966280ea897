"""A file's bytes: as every reader sees them, as they were synced last, and as a power cut may leave them."""

import random
from dataclasses import dataclass, field

SECTOR_BYTES = 512


@dataclass(eq=False)
class Inode:
    """A file's bytes as every reader sees them, and how to get back to those that are synced."""

    data: bytearray = field(default_factory=bytearray)
    synced_bytes: int = 0
    undo: list[tuple[int, bytes]] = field(default_factory=list)
    locked: bool = False

    @property
    def dirty(self) -> bool:
        return bool(self.undo) or len(self.data) != self.synced_bytes

    def durable(self) -> bytes:
        """Return the content that was synced last."""
        raw = self.data[: self.synced_bytes].ljust(self.synced_bytes, b"\0")
        for offset, old in reversed(self.undo):
            raw[offset : offset + len(old)] = old
        return bytes(raw[: self.synced_bytes])

    def write_at(self, offset: int, data: bytes) -> None:
        overwritten = bytes(self.data[offset : min(offset + len(data), self.synced_bytes)])
        if overwritten:
            self.undo.append((offset, overwritten))
        if offset > len(self.data):
            self.data += bytes(offset - len(self.data))
        self.data[offset : offset + len(data)] = data

    def truncate(self, size: int) -> None:
        if size < self.synced_bytes:
            self.undo.append((size, bytes(self.data[size:])))
        del self.data[size:]

    def sync(self) -> None:
        self.synced_bytes = len(self.data)
        self.undo.clear()


def survivor(inode: Inode, chance: random.Random | None, *, prefix: bool | None = None) -> bytes:
    """Return what may be left of a file: by chance a byte prefix of what was written, or sectors of it."""
    durable = inode.durable()
    if chance is None or not inode.dirty:
        return durable
    written = bytes(inode.data)
    size = chance.randint(min(len(durable), len(written)), max(len(durable), len(written)))
    raw = bytearray(durable[:size].ljust(size, b"\0"))
    start = common_prefix(durable, written)
    if chance.random() < 0.3 if prefix is None else prefix:
        end = chance.randint(min(start, size), size)
        raw[start:end] = written[start:end]
        return bytes(raw)
    for sector in range(start // SECTOR_BYTES * SECTOR_BYTES, size, SECTOR_BYTES):
        if chance.random() < 0.5:
            piece = written[sector : min(sector + SECTOR_BYTES, size)]
            raw[sector : sector + len(piece)] = piece
    return bytes(raw)


def common_prefix(one: bytes, other: bytes) -> int:
    """Return how many bytes two contents begin with alike, counted in whole sectors but for the last."""
    shorter = min(len(one), len(other))
    if one[:shorter] == other[:shorter]:
        return shorter
    low, high = 0, shorter
    while low < high:
        middle = (low + high + 1) // 2
        if one[:middle] == other[:middle]:
            low = middle
        else:
            high = middle - 1
    return low
