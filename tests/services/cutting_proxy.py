"""A TCP proxy that cuts connections at a chosen message, at random, or for a while altogether."""

from __future__ import annotations

import random
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

NEVER = 10**9


class CuttingProxy:
    """Listens on ``port`` and forwards to a server on this machine.

    Args:
        target: The server's port.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._pairs: set[tuple[socket.socket, socket.socket]] = set()
        self._is_away = False
        self._dice: random.Random | None = None
        self._chance = 0.0
        self._cut_at, self._loses_answer = NEVER, False
        self.messages = 0
        self.cuts = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def cut_at(self, message: int, *, loses_answer: bool) -> None:
        """Cut once, at the client's ``message``-th message from now: before it arrives, or once it is answered."""
        with self._lock:
            self.messages, self._cut_at, self._loses_answer = 0, message, loses_answer

    def cut_at_random(self, chance: float, seed: int) -> None:
        """Cut at each message with this chance, before or after; 0 for no more."""
        with self._lock:
            self._chance, self._dice = chance, random.Random(seed)

    @contextmanager
    def away(self) -> Iterator[None]:
        """The server is gone: what is open is cut, what comes is turned away."""
        self._is_away = True
        with self._lock:
            pairs = list(self._pairs)
        for pair in pairs:
            self._cut(pair)
        yield
        self._is_away = False

    def back(self) -> None:
        """It is there again."""
        self._is_away = False

    def close(self) -> None:
        self._listener.close()
        with self._lock:
            pairs = list(self._pairs)
        for pair in pairs:
            self._cut(pair)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._is_away:
                client.close()
                continue
            try:
                server = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                client.close()
                continue
            for each in (client, server):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            pair = (client, server)
            with self._lock:
                self._pairs.add(pair)
            lost = threading.Event()
            threading.Thread(target=self._requests, args=(pair, lost), daemon=True).start()
            threading.Thread(target=self._answers, args=(pair, lost), daemon=True).start()

    def _requests(self, pair: tuple[socket.socket, socket.socket], lost: threading.Event) -> None:
        client, server = pair
        try:
            while data := client.recv(65536):
                cut, loses_answer = self._verdict()
                if cut and not loses_answer:
                    break
                if cut:
                    lost.set()
                server.sendall(data)
        except OSError:
            pass  # the other direction cut it
        if not lost.is_set():
            self._cut(pair)

    def _answers(self, pair: tuple[socket.socket, socket.socket], lost: threading.Event) -> None:
        client, server = pair
        try:
            while data := server.recv(65536):
                if lost.is_set():
                    break
                client.sendall(data)
        except OSError:
            pass
        self._cut(pair)

    def _verdict(self) -> tuple[bool, bool]:
        with self._lock:
            self.messages += 1
            if self.messages == self._cut_at:
                self.cuts += 1
                return True, self._loses_answer
            if self._dice is not None and self._dice.random() < self._chance:
                self.cuts += 1
                return True, self._dice.random() < 0.5
            return False, False

    def _cut(self, pair: tuple[socket.socket, socket.socket]) -> None:
        with self._lock:
            self._pairs.discard(pair)
        for each in pair:
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
        for each in pair:
            each.close()
