"""Clients of kafka-python that are connected in time, or not at all."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define, field

from coreetl_driver.kafka_settings import KafkaSettings, quieten

if TYPE_CHECKING:
    from kafka.net.compat import KafkaNetClient

T = TypeVar("T")
_GRACE_S = 1.0  # the client's own timeout comes first, where it has one


def connected(client: Callable[..., T], settings: KafkaSettings, **options: Any) -> T:
    """One of kafka-python's clients, of the brokers that the settings name.

    kafka-python 3.0 waits for ever where nobody goes on with a TLS handshake, whatever ``bootstrap_timeout_ms`` says,
    and leaves its thread and sockets behind when it gives up. So it is made in a thread that is not waited for when
    its time is over, and what has become of it by then is closed.

    Args:
        client: Its class.
        options: Beside those of the settings.

    Raises:
        KafkaTimeoutError: Not within ``timeout_s`` of the settings, give or take a second.
        KafkaError: As the client raises it.
    """
    from kafka.errors import KafkaTimeoutError

    quieten()
    own = {"bootstrap_timeout_ms": settings.timeout_ms}
    making = _Making(client, {**settings.client_options(), **own, **options})
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

    client: Callable[..., Any]
    options: Mapping[str, Any]
    made: Any = None
    error: BaseException | None = None
    ended: threading.Event = field(factory=threading.Event)
    _connections: list[KafkaNetClient] = field(factory=list)
    _is_left: bool = False
    _lock: threading.Lock = field(factory=threading.Lock)

    def run(self) -> None:
        try:
            made = self.client(**self.options, kafka_client=self._connection)
        except BaseException as error:  # raised where it is waited for
            self.error = error
            self.ended.set()
            self._disconnect()
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
        if self._is_left:
            # Its thread may be at a name that cannot be resolved, and is waited for.
            threading.Thread(target=self._interrupt, name="kafka-disconnecting", daemon=True).start()
        return self._is_left

    def _connection(self, **options: Any) -> KafkaNetClient:
        from kafka.net.compat import KafkaNetClient

        self._connections.append(KafkaNetClient(**options))
        return self._connections[-1]

    def _interrupt(self) -> None:
        for each in self._connections:
            if each._net._io_thread is None:
                # A producer drives its loop in the thread that makes it, which ends by this and closes it.
                each._manager.close()
                each.wakeup()
            else:
                each.close()

    def _disconnect(self) -> None:
        for each in self._connections:
            each.close()
