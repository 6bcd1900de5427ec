"""The `boruta server` process: signals, logs and exit statuses round a `Running`."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import resource
import signal
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from boruta import logs
from boruta.config import ServerConfig
from boruta.domain.errors import BorutaError, StoreUnavailable
from boruta.serving import Running, check_imports
from boruta.supervised import Supervisor

if TYPE_CHECKING:
    from boruta.probes import Probes

log = logging.getLogger("boruta.server")

# What is made at the start lives as long as the process, and of what comes later most dies young:
# full collections would only cost time (100 ms and more with 100,000 requests). Others are of few
# objects at a time, 2,000 and 6,000: a collection holds the loop, 1 ms for each 2,000 of them.
GC_THRESHOLDS: Final = (2_000, 3, 8_000)
# A board and its tunnel are two sockets, each client one; below this a hundred boards do not fit.
FILES_WANTED: Final = 4096
STAND_BACK_S: Final = 2.0  # after a hand-over, so that the other one gets the lead
HAND_OVER: Final = signal.SIGUSR2  # what `boruta server --hand-over` sends
OPENS_WITHIN_S: Final = 20.0  # one that has not opened its database by then stands by, or reads it
_FIRST: Final = asyncio.FIRST_COMPLETED
_STOPS: Final = (signal.SIGTERM, signal.SIGINT)


def run(config: ServerConfig, reload: Callable[[], ServerConfig] | None = None) -> int:
    """Runs a server until a signal ends it.

    SIGTERM and SIGINT stop it cleanly, a second one at once; SIGHUP reads keys and configuration
    again.

    Args:
        config: what it was told.
        reload: reads the configuration again; raises as at the start.

    Returns:
        The exit status: 0 after a clean stop; an error's own, its text is on stderr then.
    """
    logs.set_up(config.log.level, config.log.format)
    try:
        check_imports()
        raise_files()
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(_Process(config, reload).run())
    except BorutaError as error:
        print(f"boruta: {error.message}   [{error.code}]", file=sys.stderr, flush=True)
        return error.exit_status


def raise_files() -> int:
    """Raises the limit of open files as far as it may go; what it is now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
    if soft != resource.RLIM_INFINITY and soft < FILES_WANTED:
        log.warning(
            "few_files limit=%d wanted=%d: raise it with ulimit -n, or LimitNOFILE=",
            soft,
            FILES_WANTED,
        )
    return soft


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop
    made: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return made


class _Process:
    def __init__(self, config: ServerConfig, reload: Callable[[], ServerConfig] | None) -> None:
        self._config = config
        self._reload = reload
        self._running: Running | None = None
        self._has_served = False  # or stood by: whatever it is told of has worked once
        self._stop = asyncio.Event()
        self._signal: signal.Signals | None = None
        self._above = Supervisor(os.environ)

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        for number in _STOPS:
            loop.add_signal_handler(number, self._on_stop, number)
        loop.add_signal_handler(signal.SIGHUP, self._on_hangup)
        loop.add_signal_handler(HAND_OVER, self._on_hand_over)
        self._above.watch(loop)
        probes = self._probes()
        try:
            return await self._lead_again_and_again()
        finally:
            self._above.close()
            if probes is not None:
                probes.close()

    def _probes(self) -> Probes | None:
        address = self._config.server.http
        if address == "off":
            return None
        from boruta.probes import Probes

        made = Probes(address, self._not_ready)
        log.info("http_started url=%s", made.url)
        return made

    def _not_ready(self) -> str:
        """Why no request is taken now, for whoever watches this server; empty if they are."""
        if self._stop.is_set():
            return "stopping"
        if self._running is None:
            return "standing by for another server" if self._has_served else "starting"
        return self._running.not_ready()

    async def _lead_again_and_again(self) -> int:
        told = ""
        while not self._stop.is_set():
            try:
                status = await self._lead()
            except StoreUnavailable as error:
                if not self._has_served:
                    raise
                # It did step down for the database's sake; nobody else may be left to come back.
                if error.message != told:
                    log.error("database_out_of_reach reason=%r: trying again", error.message)
                told = error.message
            else:
                if status is not None:
                    return status
                told = ""
            # Another one leads, or is about to: this one waits for its turn again.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), STAND_BACK_S)
        return 0

    async def _lead(self) -> int | None:
        """From start to stop; None if another server has taken over."""
        opening = asyncio.ensure_future(Running.open(self._config))
        stopped = asyncio.ensure_future(self._stop.wait())
        await asyncio.wait((opening, stopped), timeout=OPENS_WITHIN_S, return_when=_FIRST)
        if not opening.done() and not stopped.done():
            # It is ready to take over, and what is started after it need not wait for that.
            self._has_served = True
            self._above.tell(READY="1", STATUS="standing by for another server")
            await asyncio.wait((opening, stopped), return_when=_FIRST)
        stopped.cancel()
        if not opening.done():
            opening.cancel()
        try:
            self._running = running = await opening
            self._has_served = True
        except asyncio.CancelledError:
            log.info("server_stopped reason=%s", self._signal and self._signal.name)
            return 0
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)
        self._above.tell(READY="1", STATUS=f"serving {running.url}")
        log.info(
            "server_started url=%s server_key=%s data=%s pid=%d",
            running.url,
            running.keys.server.public,
            self._config.server.data,
            os.getpid(),
        )
        await self._until_stopped(running)
        outside = self._signal is None
        why = "stopped by itself" if self._signal is None else self._signal.name
        if not outside:
            self._above.tell(STOPPING="1", STATUS=f"stopping: {why}")
        log.info("server_stopping reason=%s", why)
        await running.close()
        self._running = None
        log.info("server_stopped")
        if running.steps_down and self._signal is None:
            return None
        # The interpreter would look through all of it for garbage before it ends: seconds.
        gc.freeze()
        return 1 if outside else 0

    async def _until_stopped(self, running: Running) -> None:
        waits = [asyncio.ensure_future(e.wait()) for e in (self._stop, running.stopped)]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)

    def _on_stop(self, number: signal.Signals) -> None:
        if self._signal is None:
            self._signal = signal.Signals(number)
            self._stop.set()
            return
        log.warning("server_stopped_at_once signal=%s", signal.Signals(number).name)
        if self._running is not None:
            self._running.forget()
        logging.shutdown()
        os._exit(128 + number)

    def _on_hand_over(self) -> None:
        if self._running is not None:
            self._running.hand_over()

    def _on_hangup(self) -> None:
        if self._running is None:
            return
        log.info("reloading")
        self._running.look_at_keys()
        if self._reload is None:
            return
        try:
            config = self._reload()
        except BorutaError as error:
            log.error("config_refused error=%r: the old one goes on", error.message)
            return
        fixed = self._running.apply(config)
        logs.set_level(config.log.level)
        if config.log.format != self._config.log.format:
            fixed.append("log.format")
        if fixed:
            log.warning("needs_restart keys=%s: these do not change while it runs", ",".join(fixed))
        log.info("reloaded")
