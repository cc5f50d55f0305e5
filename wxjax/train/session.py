"""What happens between two steps: logging, evaluating, saving, stopping."""

import math
import pathlib
import time
from typing import Any

import jax

from wxjax import files
from wxjax import mesh as meshes
from wxjax.train import checkpoint, step
from wxjax.train.patience import Patience
from wxjax.train.signals import Requests, Stopped
from wxjax.train.window import Window, diverged
from wxjax.train.writer import RunWriter

TIMING = "timing.jsonl"


class Session:
    """One stretch of a run, from start or resume to its end. Use as a context manager."""

    def __init__(
        self,
        config: Any,
        workdir: pathlib.Path,
        store: checkpoint.Store,
        bar: Any,
        held: Any,
        requests: Requests,
        evaluate: Any,
        about: dict,
    ):
        self._config, self._store, self._bar = config, store, bar
        self._lock, self._requests, self._evaluate = held, requests, evaluate
        self._window = Window(about.get("window"))
        self._start = self._good = about.get("step", 0)
        self._due_now = not about.get("evaluated", True)
        self._about, self._results = about, (0, {})  # the results of one step
        self._waited = Patience(config, about.get("patience"))
        self._pending = None  # (step, metrics, examples) not read yet
        self._programs: dict[Any, Any] = {}
        self._timing = pathlib.Path(workdir) / TIMING
        self._sessions = files.read_jsonl(self._timing) if self._timing.exists() else []
        self._compile_seconds, self._clock = 0.0, time.monotonic()
        self._writer = None
        if jax.process_index() == 0:
            again = "eval/" if self._due_now else ""
            self._writer = RunWriter(workdir, after=self._start, again=again)
        self._first = (self._start, self._clock)

    def __enter__(self):
        return self

    def __exit__(self, *_) -> None:
        if self._writer:
            self._writer.close()

    def compiled(self, step_fn: Any, state: Any, batch: dict) -> Any:
        """The program for this batch's shapes; a crop size seen first is compiled in sight."""
        key = tuple((name, x.shape, x.dtype) for name, x in sorted(batch.items()))
        if key not in self._programs:
            start = time.monotonic()
            with self._bar.phase("compiling"):
                self._programs[key] = step_fn.lower(state, batch).compile()
            self._compile_seconds += time.monotonic() - start
        return self._programs[key]

    def log(self, number: int, metrics: dict, examples: Any) -> None:
        """Takes the metrics of step `number` and reads those of the step before."""
        before, self._pending = self._pending, (number, metrics, examples)
        if before:
            self._read(*before)
        self._store.check()

    def _read(self, number: int, metrics: dict, examples: Any) -> None:
        values = self._window.add(metrics)
        examples = None if jax.process_count() > 1 else examples
        if not all(math.isfinite(values[name]) for name in ("loss", "grad_norm")):
            self._store.wait()
            raise diverged(number, values, examples, self._good or None)
        self._bar.step(number, values["loss"])
        if number % self._config.log_every == 0 or number == self._config.num_steps:
            row = {**self._window.take(), "learning_rate": values["learning_rate"]}
            since, start = self._first
            self._first = number, time.monotonic()
            if self._writer:
                self._writer.write_row(number, row)
                speed = (number - since) / max(1e-9, self._first[1] - start)
                self._writer.write_scalars(number, {"speed/steps_per_second": speed})
            self._lock.touch()

    def _drain(self) -> None:
        """Reads the last step's metrics now: nothing is evaluated or saved unseen."""
        if self._pending:
            before, self._pending = self._pending, None
            self._read(*before)

    def evaluate_left_over(self, state: Any, number: int) -> bool:
        """The evaluation that a request to stop broke off, before anything else.

        Returns:
          Whether it ends the run.
        """
        if self._due_now:
            self._evaluated(state, number)
            if self._requests.signum:
                self._stop(number)
            self._store.amend(number, {**self._about, **self._outcome(number)})
        return self._waited.over

    def evaluate_and_save_if_due(self, state: Any, batches: Any, number: int) -> bool:
        """After step `number`, in this order: evaluate, save, leave if asked to.

        Returns:
          Whether the run ends here, at its last step or where patience is over.
        """
        config, last = self._config, number == self._config.num_steps
        if _due(number, config.evaluate.every_steps) or last:
            self._drain()
            self._evaluated(state, number)
        asked, over = self._asked(number), self._waited.over
        if _due(number, config.checkpoint.every_steps) or last or asked or over:
            self._drain()
            self._save(state, batches, number)
        if asked:
            self._stop(number)
        if over and not last:
            self._bar.say(f"ended at step {number}: {self._waited}")
        return last or over

    def _asked(self, number: int) -> bool:
        if jax.process_count() == 1:
            return bool(self._requests.signum)
        # Hosts must leave after the same step; asking each other costs a wait.
        if number % self._config.log_every:
            return False
        return meshes.agree(bool(self._requests.signum))

    def _evaluated(self, state: Any, number: int) -> None:
        self._due_now = self._evaluate is not None
        if not self._due_now or self._requests.signum:
            return
        jax.block_until_ready(state.step)
        results = None
        with self._requests.breakable(), self._bar.phase(f"evaluating step {number}"):
            results = self._evaluate(state.variables, number)
        if results is not None:
            self._due_now = False
            named = {f"eval/{k}": float(v) for k, v in results.items()}
            self._results = number, named
            self._waited.see(named)
            self._bar.say(f"step {number}: " + ", ".join(f"{k} {v:.4g}" for k, v in named.items()))
            if self._writer:
                self._writer.write_row(number, named)
                self._writer.sync()

    def _save(self, state: Any, batches: Any, number: int) -> None:
        if not bool(step.finite((state.params, state.stats, state.ema))):
            self._store.wait()
            raise diverged(number, {"parameters": math.nan}, None, self._good or None)
        if self._writer:
            self._writer.sync()
        about = {"window": self._window.plain(), **self._outcome(number)}
        self._store.save(state, batches, about)
        self._good = number
        self._time(number)

    def _outcome(self, number: int) -> dict:
        """What a checkpoint says of its evaluation; the numbers of another step are not its own."""
        at, results = self._results
        results = results if at == number else {}
        plain = {k: v if math.isfinite(v) else None for k, v in results.items()}
        return {"metrics": plain, "evaluated": not self._due_now, **self._waited.plain()}

    def _time(self, number: int) -> None:
        if self._writer:
            row = {"from_step": self._start, "to_step": number}
            row["compile_seconds"] = round(self._compile_seconds, 2)
            row["seconds"] = round(time.monotonic() - self._clock, 2)
            row["devices"] = jax.device_count()
            row["device"] = jax.devices()[0].device_kind
            files.write_jsonl(self._timing, [*self._sessions, row])

    def _stop(self, number: int) -> None:
        self._store.wait()
        line = f"stopped at step {number}, all saved: run the same command again to go on"
        self._bar.say(line)
        raise Stopped(line, self._requests.signum or 15)

    def finish(self, number: int) -> None:
        """Waits until the last checkpoint is on the disk."""
        self._drain()
        self._store.wait()


def _due(number: int, every: int) -> bool:
    return every > 0 and number % every == 0
