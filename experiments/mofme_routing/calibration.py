"""Whether the router's confidence can be trusted: against the expert that would have been best.

python -m experiments.mofme_routing.calibration --workdir=runs/mofme

For every token and block each expert is tried alone, the rest of the network as it is; the
best is the one whose 8x8 pixels come nearest to the truth. The router's largest probability
is its confidence, and it is right where that expert is the best. Plain and calibrated routers
(`router.samples` and `router.rate` of the config, nothing trained anew) read the same weights.
"""

import argparse
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from wxjax import files
from wxjax.data import sources
from wxjax.metrics import calibration
from wxjax.nn import routing
from wxjax.recipes import single
from wxjax.systems.mofme import network

CASES = {
    "plain": dict(samples=0),
    "probit, 5 samples, rate 0.1": dict(samples=5, rate=0.1),
    "probit, 5 samples, rate 0.3": dict(samples=5, rate=0.3),
    "probit, 25 samples, rate 0.3": dict(samples=25, rate=0.3),
    "probit, 25 samples, rate 0.5": dict(samples=25, rate=0.5),
}
SURE = 1e4  # a router's bias that leaves no other expert a weight


class Tokens(NamedTuple):
    """What is known of the tokens of some images, `[l n ...]` for l blocks."""

    logits: dict[str, np.ndarray]  # of each case, [l n e]
    error: np.ndarray  # squared, of a token's pixels, by expert tried alone, [l n e]


def forced(params: Mapping, block: int, expert: int) -> dict:
    """Parameters whose router sends every token of one block to one expert."""
    name = f"block{block}"
    router = params[name]["router"]
    router = {"kernel": 0 * router["kernel"], "bias": (0 * router["bias"]).at[expert].set(SURE)}
    return {**params, name: {**params[name], "router": router}}


class Model:
    """One trained network under every case of its router."""

    def __init__(self, config: ConfigDict, variables: Mapping):
        self.variables = {"params": jax.tree.map(jnp.asarray, variables["params"])}
        self.model = config.model.to_dict()
        self.run = {name: jax.jit(self.program(case)) for name, case in CASES.items()}
        self.blocks, self.experts = config.model.depth, config.model.router.experts
        self.patch = config.model.patch

    def program(self, case: Mapping[str, Any]):
        net = network.build({**self.model, "router": {**self.model["router"], **case}})

        def apply(variables, image):
            given = network.normalise(image[None])
            if net.in_channels == 6:
                given = jnp.concatenate([given, jnp.full_like(given, network.NO_REFERENCE)], -1)
            restored, gate = net.apply(variables, given)
            return jnp.clip(restored[0], 0, 1), gate.logits[0]

        return apply

    def tried(self, image: np.ndarray, target: np.ndarray) -> tuple[Tokens, dict[str, float]]:
        """The tokens of one picture whose sides are multiples of the patch; PSNR by case."""
        logits, psnr = {}, {}
        for name, run in self.run.items():
            restored, found = run(self.variables, image)
            logits[name] = np.asarray(found)
            psnr[name] = float(-10 * np.log10(np.mean((restored - target) ** 2)))
        params, error = self.variables["params"], []
        for block in range(self.blocks):
            for expert in range(self.experts):
                restored, _ = self.run["plain"]({"params": forced(params, block, expert)}, image)
                gap = np.square(np.asarray(restored) - target).mean(-1)
                h, w = (side // self.patch for side in gap.shape)
                gap = gap.reshape(h, self.patch, w, self.patch).mean((1, 3))
                error.append(gap.reshape(-1))
        shape = self.blocks, self.experts, -1
        return Tokens(logits, np.stack(error).reshape(shape).swapaxes(1, 2)), psnr


def gather(model: Model, examples: Iterable[Mapping]) -> tuple[Tokens, dict[str, float]]:
    """All tokens of some examples, cut to multiples of the patch; mean PSNR by case."""
    tokens, psnrs = [], []
    for example in examples:
        h, w = (side // model.patch * model.patch for side in example["image"].shape[:2])
        pair = (example[name][:h, :w] / np.float32(255) for name in ("image", "target"))
        found, psnr = model.tried(*pair)
        tokens.append(found)
        psnrs.append(psnr)
    logits = {name: np.concatenate([t.logits[name] for t in tokens], 1) for name in CASES}
    error = np.concatenate([t.error for t in tokens], 1)
    return Tokens(logits, error), {n: float(np.mean([p[n] for p in psnrs])) for n in CASES}


def judge(p: np.ndarray, error: np.ndarray) -> dict[str, float]:
    """How well probabilities `[n e]` foretell the expert of least error `[n e]`."""
    best, chosen = error.argmin(-1), p.argmax(-1)
    confidence, right = p.max(-1), chosen == best
    at = lambda index: np.take_along_axis(error, index[:, None], -1)[:, 0]
    return {
        "confidence": float(confidence.mean()),
        "accuracy": float(right.mean()),
        "ece": calibration.ece(confidence, right),
        "nll": calibration.nll(p, best),
        "brier": calibration.brier(p, best),
        "aurc": calibration.aurc(confidence, ~right),
        # decibels that the expert chosen lies behind the best, in the mean square
        "behind": float(10 * np.log10(at(chosen).mean() / at(best).mean())),
        "behind_mean_expert": float(10 * np.log10(error.mean() / at(best).mean())),
    }


def report(found: Tokens, held: Tokens) -> dict[str, Any]:
    """Scores by case and block; and of the plain router with a temperature fitted on `held`."""
    out: dict[str, Any] = {}
    for name, logits in found.logits.items():
        out[name] = [
            judge(np.asarray(routing.probabilities(jnp.asarray(z))), error)
            for z, error in zip(logits, found.error, strict=True)
        ]
    fitted = []
    for block, (z, error) in enumerate(zip(found.logits["plain"], found.error, strict=True)):
        best = held.error[block].argmin(-1)
        temperature = calibration.fit_temperature(held.logits["plain"][block], best)
        scores = judge(calibration.softmax(z, temperature), error)
        fitted.append({**scores, "temperature": temperature})
    return {**out, "plain, fitted temperature": fitted}


def table(made: Mapping[str, Any]) -> str:
    lines = [
        "| router | block | confidence | accuracy | ECE | NLL | Brier | PSNR |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, blocks in made["scores"].items():
        psnr = made["psnr"].get(name)
        for block, s in enumerate(blocks):
            cells = (f"{s[k]:.3f}" for k in ("confidence", "accuracy", "ece", "nll", "brier"))
            shown = f"{psnr:.3f}" if psnr and not block else ""
            lines.append(f"| {name} | {block} | {' | '.join(cells)} | {shown} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workdir", type=pathlib.Path, default=pathlib.Path("runs/mofme"))
    parser.add_argument("--count", type=int, default=30, help="test pictures, evenly chosen")
    out = pathlib.Path("experiments/mofme_routing/calibration.json")
    parser.add_argument("--out", type=pathlib.Path, default=out)
    arguments = parser.parse_args()
    config = ConfigDict(files.read_json(arguments.workdir / "config.json"))
    _, variables, about = single.system(config, arguments.workdir)
    model = Model(config, variables)

    def some(split: str, count: int):
        source = sources.open(config.data, split)
        places = np.linspace(0, len(source) - 1, min(count, len(source))).astype(int)
        return (source[int(i)] for i in places)

    held, _ = gather(model, some("val_router", arguments.count // 2))
    found, psnr = gather(model, some("test", arguments.count))
    made = {
        "tokens": found.error.shape[1],
        "chance": 1 / model.experts,
        "psnr": psnr,
        "scores": report(found, held),
        "commit": about.get("commit"),
        "steps": config.stages.network.num_steps,
    }
    files.write_json(arguments.out, made)
    print(table(made))


if __name__ == "__main__":
    main()
