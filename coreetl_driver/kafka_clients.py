"""Clients of kafka-python that are connected in time, or not at all."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

from attrs import define, field

from coreetl_driver.kafka_settings import KafkaSettings, quieten

T = TypeVar("T")
_GRACE_S = 1.0  # the client's own timeout comes first, where it has one


def connected(client: Callable[..., T], settings: KafkaSettings, **options: Any) -> T:
    """One of kafka-python's clients, of the brokers that the settings name.

    kafka-python 3.0 waits for ever where nobody goes on with a TLS handshake, whatever ``bootstrap_timeout_ms`` says.
    So it is made in a thread, which is left to itself when its time is over, and closes what it still gets.

    Args:
        client: Its class.
        options: Beside those of the settings.

    Raises:
        KafkaTimeoutError: Not within ``timeout_s`` of the settings, give or take a second.
        KafkaError: As the client raises it.
    """
    from kafka.errors import KafkaTimeoutError

    quieten()
    every = {**settings.client_options(), "bootstrap_timeout_ms": settings.timeout_ms, **options}
    making = _Making(lambda: client(**every))
    threading.Thread(target=making.run, name="kafka-connecting", daemon=True).start()
    if not making.ended.wait(settings.timeout_s + _GRACE_S) and making.leave():
        raise KafkaTimeoutError(f"nobody has let us in within {settings.timeout_s:g} s")
    if making.error is not None:
        raise making.error
    made: T = making.made
    return made


@define(eq=False)
class _Making:
    """What is made in another thread, for somebody who may not wait for it to the end."""

    make: Callable[[], Any]
    made: Any = None
    error: BaseException | None = None
    ended: threading.Event = field(factory=threading.Event)
    _is_left: bool = False
    _lock: threading.Lock = field(factory=threading.Lock)

    def run(self) -> None:
        try:
            made = self.make()
        except BaseException as error:  # raised where it is waited for
            self.error = error
            self.ended.set()
            return
        with self._lock:
            self.made = made
            self.ended.set()
            is_left = self._is_left
        if is_left:
            made.close()

    def leave(self) -> bool:
        """Wait no more; whether there is nothing to take at the last moment."""
        with self._lock:
            self._is_left = not self.ended.is_set()
            return self._is_left
