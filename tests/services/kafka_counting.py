"""A proxy before a broker that counts the requests of clients, by what they ask for.

Source: https://kafka.apache.org/protocol: a request is its length in four bytes, then what it asks for in two.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections import Counter
from contextlib import suppress

_NAMES = {
    0: "Produce", 1: "Fetch", 2: "ListOffsets", 3: "Metadata", 18: "ApiVersions", 19: "CreateTopics",
    20: "DeleteTopics", 29: "DescribeAcls", 30: "CreateAcls", 31: "DeleteAcls", 32: "DescribeConfigs",
    35: "DescribeLogDirs", 37: "CreatePartitions", 44: "IncrementalAlterConfigs", 45: "AlterPartitionReassignments",
    46: "ListPartitionReassignments", 60: "DescribeCluster",
}  # fmt: skip
_CHANGES = {"Produce", "CreateTopics", "DeleteTopics", "CreateAcls", "DeleteAcls", "CreatePartitions"} | {
    "IncrementalAlterConfigs", "AlterPartitionReassignments",
}  # fmt: skip


class CountingProxy:
    """Listens on ``port`` and forwards to a broker on this machine.

    Args:
        target: The broker's port.
    """

    def __init__(self, target: int) -> None:
        self.target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        threading.Thread(target=self._accept, daemon=True).start()

    def counted(self) -> Counter[str]:
        """Since last asked; what connecting itself takes is left out."""
        with self._lock:
            counts, self._counts = self._counts, Counter()
        counts.pop("ApiVersions", None)
        return counts

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                client.close()
                continue
            for each in (client, server):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._pump, args=(client, server, True), daemon=True).start()
            threading.Thread(target=self._pump, args=(server, client, False), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, counts: bool) -> None:
        pending = b""
        try:
            while data := source.recv(65536):
                if counts:
                    pending = self._count(pending + data)
                target.sendall(data)
        except OSError:
            pass  # the other direction has closed it
        for each in (source, target):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)  # closing alone ends nothing that the other thread still reads
            each.close()

    def _count(self, data: bytes) -> bytes:
        """Take whole requests off; gives what is left of an unfinished one."""
        while len(data) >= 6:
            length, asked = struct.unpack(">ih", data[:6])
            if len(data) < 4 + length:
                break
            with self._lock:
                self._counts[_NAMES.get(asked, str(asked))] += 1
            data = data[4 + length :]
        return data


def changing(counts: Counter[str]) -> Counter[str]:
    """Of these, the requests that change something, validated ones too."""
    return Counter({name: count for name, count in counts.items() if name in _CHANGES})
